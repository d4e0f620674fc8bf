"""What results.json says of a run, and how it is read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NotRequired, TypedDict

from ..errors import LockstepError, reason

SCHEMA = 3
"""The version of the shape below; a change that a reader must know of raises it."""


class Epoch(TypedDict):
    """One row of a history. Losses are in nats, accuracies from 0 to 1."""

    epoch: int
    train_loss: float
    """Over the whole training set, evaluated after the epoch."""
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    running_loss: NotRequired[float]
    """Mean over the epoch's examples while the weights moved: what Keras' `fit` prints."""
    running_accuracy: NotRequired[float]
    seconds: NotRequired[float]
    """Of training alone; evaluation is apart."""


class BackendResult(TypedDict):
    """How one backend did with one seed."""

    version: str
    device: str
    dialect: str
    seed: int
    history: list[Epoch]
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    confusion_matrix: list[list[int]]
    """Test set; rows are the true classes, columns the answers."""
    precision: list[float]
    recall: list[float]
    import_seconds: float
    """Importing the framework."""
    compile_seconds: float
    """Building the network and its first calls, which may compile."""
    startup_seconds: float
    """The two together."""
    train_seconds: float
    evaluate_seconds: float
    import_rss_bytes: int
    """The largest resident memory of the backend's process once the framework was imported."""
    peak_rss_bytes: int
    """And at the end: import, data, training and evaluation."""
    initial_weights_sha256: str
    batch_order_sha256: str
    notes: NotRequired[str]
    """What a reader should know about how it computed, `Backend.notes`."""
    weights_difference: NotRequired[float]
    """Largest difference of a weight from NumPy's, after the first epoch."""
    repeats: NotRequired[list["BackendResult"]]
    """With --repeats: the same for every seed, this one (the first) included."""
    tutorial: NotRequired[str]
    """What it trained with, as the framework's tutorials do, `Backend.tutorial`."""
    as_tutorial: NotRequired["BackendResult"]
    """with --fit tutorial: how the same training went as the tutorials do it."""


def runs_of(result: BackendResult) -> list[BackendResult]:
    """One result for each seed."""
    return result.get("repeats", [result])


def trainings(backends: Mapping[str, BackendResult]) -> dict[str, BackendResult]:
    """Every training by its label; a backend is followed by its training as tutorials do."""
    found = {}
    for name, result in backends.items():
        found[name] = result
        if "as_tutorial" in result:
            as_tutorial = result["as_tutorial"]
            found[training_label(name, as_tutorial["tutorial"])] = as_tutorial
    return found


def training_label(backend: str, tutorial: str) -> str:
    """`torch, DataLoader`: what training as tutorials do is called."""
    return f"{backend}, {tutorial}"


class DatasetInfo(TypedDict):
    """Which data: the title that labels everything, and each file's hash."""

    name: str
    title: str
    classes: list[str]
    train: int
    test: int
    sha256: dict[str, str]


class Results(TypedDict):
    """The content of results.json."""

    schema: int
    name: str
    created: str
    """Local time, ISO 8601."""
    command: str
    dataset: DatasetInfo
    recipe: dict
    environment: dict
    backends: dict[str, BackendResult]
    failures: dict[str, str]
    """Backend → the sentence that says why it has no result."""


def load(path: str | Path) -> Results:
    """Read a run's results, from its folder or from the file itself."""
    path = Path(path)
    file = path / "results.json" if path.is_dir() else path
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise LockstepError(f"Cannot read the results {file}: {reason(error)}.") from None
    except ValueError as error:
        raise LockstepError(f"{file} is truncated or not JSON ({error}).") from None
    found = results.get("schema") if isinstance(results, dict) else None
    if found != SCHEMA:
        raise LockstepError(
            f"{file} has results of schema {found!r}; this version reads {SCHEMA}. Make the run "
            "again, or read it with the version that wrote it."
        )
    missing = sorted(set(Results.__annotations__) - set(results))
    if missing:
        raise LockstepError(f"{file} lacks {', '.join(missing)}; make the run again.")
    _check_backends(results["backends"], file)
    return results


def _check_backends(backends: object, file: Path) -> None:
    """Raise unless there is a backend and each has all its figures."""
    if not isinstance(backends, dict) or not backends:
        raise LockstepError(f"{file} has no backend's results; make the run again.")
    for name, result in backends.items():
        runs = _every_result(result)
        missing = sorted(
            {key for run in runs for key in BackendResult.__required_keys__ - set(run)}
        )
        if not missing and "tutorial" not in result.get("as_tutorial", {"tutorial": ""}):
            missing = ["tutorial"]
        if missing:
            raise LockstepError(f"{file} lacks {missing[0]} of {name}; make the run again.")
        for key in (key for key, kind in BackendResult.__annotations__.items() if kind is float):
            if not all(isinstance(run.get(key, 0), int | float) for run in runs):
                raise LockstepError(f"{key} of {name} in {file} is no number; make the run again.")


def _every_result(result: object) -> list[dict]:
    """A backend's result, those of its seeds, and those of its tutorial; {} for what is none."""
    if not isinstance(result, dict):
        return [{}]
    found = [result, *result.get("repeats", [])]
    if "as_tutorial" in result:
        found += _every_result(result["as_tutorial"])
    return found
