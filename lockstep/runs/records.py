"""What results.json says of a run, and how it is read.

`docs/reference/schemas/results.schema.json` says the same as a JSON Schema; `python
docs/schemas.py` makes it from these classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from ..recipe import Recipe
from .typed import Record, read

SCHEMA = 4
"""The version of the shape below; a change that a reader must know of raises it."""

Share = Annotated[float, Meta(ge=0, le=1)]
Nats = Annotated[float, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]
Bytes = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Epoch(Record, frozen=True, kw_only=True):
    """One row of a history. Losses are in nats, accuracies from 0 to 1."""

    epoch: Annotated[int, Meta(ge=1)]
    train_loss: Nats
    """Over the whole training set, evaluated after the epoch."""
    train_accuracy: Share
    test_loss: Nats
    test_accuracy: Share
    running_loss: Nats | None = None
    """Mean over the epoch's examples while the weights moved: what Keras' `fit` prints."""
    running_accuracy: Share | None = None
    seconds: Seconds | None = None
    """Of training alone; evaluation is apart."""


class BackendResult(Record, frozen=True, kw_only=True):
    """How one backend did with one seed."""

    version: str
    device: str
    dialect: str
    seed: Count
    history: Annotated[list[Epoch], Meta(min_length=1)]
    train_loss: Nats
    train_accuracy: Share
    test_loss: Nats
    test_accuracy: Share
    confusion_matrix: list[list[Count]]
    """Test set; rows are the true classes, columns the answers."""
    precision: list[Share]
    """Of each class."""
    recall: list[Share]
    import_seconds: Seconds
    """Importing the framework."""
    compile_seconds: Seconds
    """Building the network and its first calls, which may compile."""
    train_seconds: Seconds
    evaluate_seconds: Seconds
    import_rss_bytes: Bytes
    """The largest resident memory of the backend's process once the framework was imported."""
    peak_rss_bytes: Bytes
    """And at the end: import, data, training and evaluation."""
    initial_weights_sha256: Sha256
    batch_order_sha256: Sha256
    notes: str | None = None
    """What a reader should know about how it computed, `Backend.notes`."""
    weights_difference: Annotated[float, Meta(ge=0)] | None = None
    """Largest difference of a weight from NumPy's, after the first epoch."""
    repeats: list[BackendResult] = []  # noqa: RUF012 (msgspec copies it)
    """With --repeats: the same for every seed, this one (the first) included."""
    tutorial: str | None = None
    """What it trained with, as the framework's tutorials do, `Backend.tutorial`."""
    as_tutorial: BackendResult | None = None
    """With --fit tutorial: how the same training went as the tutorials do it."""

    def __post_init__(self) -> None:
        if self.as_tutorial and not self.as_tutorial.tutorial:
            raise ValueError("as_tutorial does not say which tutorial")
        if self.as_tutorial and len(self.as_tutorial.runs) != len(self.runs):
            raise ValueError("as_tutorial has another number of seeds")

    @property
    def runs(self) -> list[BackendResult]:
        """One result for each seed."""
        return self.repeats or [self]

    @property
    def startup_seconds(self) -> float:
        """Import, building and first calls."""
        return self.import_seconds + self.compile_seconds


def trainings(backends: Mapping[str, BackendResult]) -> dict[str, BackendResult]:
    """Every training by its label; a backend is followed by its training as tutorials do."""
    found = {}
    for name, result in backends.items():
        found[name] = result
        if result.as_tutorial:
            label = training_label(name, result.as_tutorial.tutorial or "")
            found[label] = result.as_tutorial
    return found


def training_label(backend: str, tutorial: str) -> str:
    """`torch, DataLoader`: what training as tutorials do is called."""
    return f"{backend}, {tutorial}"


class DatasetInfo(Record, frozen=True, kw_only=True):
    """Which data: the title that labels everything, and each file's hash."""

    name: str
    title: str
    classes: Annotated[list[str], Meta(min_length=1)]
    train: Count
    """Images to train on."""
    test: Count
    """Images to test with."""
    sha256: dict[str, Sha256]
    """File → hash of its content."""


class Environment(Record, frozen=True, kw_only=True):
    """The machine and the versions that a reader needs to make sense of the figures."""

    lockstep: str
    python: str
    numpy: str
    system: str
    machine: str
    processor: str
    cores: Annotated[int, Meta(ge=1)] | None
    """null where the system does not say."""


class Results(Record, frozen=True, kw_only=True, tag_field="schema", tag=SCHEMA):
    """The content of results.json."""

    name: str
    created: str
    """Local time, ISO 8601."""
    command: str
    """What makes it again."""
    dataset: DatasetInfo
    recipe: Recipe
    environment: Environment
    backends: Annotated[dict[str, BackendResult], Meta(min_length=1)]
    failures: dict[str, str]
    """Backend → the sentence that says why it has no result."""

    def __post_init__(self) -> None:
        for label, result in trainings(self.backends).items():
            for run in (result, *result.repeats):
                _check_classes(label, run, len(self.dataset.classes))


def _check_classes(label: str, run: BackendResult, classes: int) -> None:
    """Raise unless everything that is told class by class has as many entries as there are."""
    if [len(row) for row in run.confusion_matrix] != [classes] * classes:
        raise ValueError(f"the confusion_matrix of {label} is not {classes} × {classes}")
    for key in ("precision", "recall"):
        if len(getattr(run, key)) != classes:
            raise ValueError(f"the {key} of {label} is not told of each of {classes} classes")


def load(path: str | Path) -> Results:
    """Read a run's results, from its folder or from the file itself."""
    path = Path(path)
    file = path / "results.json" if path.is_dir() else path
    return read(file, Results, "results")
