"""The verbs of Lockstep, for notebooks, scripts and tests: `lockstep.train`, `lockstep.verify`, …

Every verb has defaults that make it useful with no arguments: the recipe is `Recipe()`, the data is
MNIST (or, where that cannot be had, the embedded digits), and the backends are all that are
installed. Data may be a dataset or the name of one; one backend may stand without a list. Input
that cannot be used raises LockstepError, whose message is one sentence.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from .backends import registry
from .data import datasets
from .data.datasets import Dataset
from .diagnosis import check
from .diagnosis.verdict import Verdict
from .differences import explain as differences
from .differences.conclusion import Explanation
from .errors import one_of
from .processes.events import OnEvent, nobody
from .proof import prove
from .proof.comparison import STEPPED, VIEWS, Proof
from .recipe import Recipe
from .report.load import Run, load
from .training import compare as training


def train(
    backend: str = "numpy",
    recipe: Recipe | None = None,
    data: Dataset | str | None = None,
    *,
    out: str | Path = "runs",
    name: str | None = None,
    device: str = "auto",
    repeats: int = 1,
    on_event: OnEvent = nobody,
) -> Run:
    """Train one backend in a process of its own; leaves a run in `out` and returns it.

    `repeats` trains with so many seeds. `on_event` hears how far it is (`processes/events.py`).

    >>> digits = lockstep.load_dataset("digits")
    >>> run = lockstep.train("numpy", lockstep.Recipe(epochs=3), digits, name="first")
    >>> run.results.backends["numpy"].test_accuracy > 0.9
    True
    """
    return compare(
        recipe, (backend,), data,
        out=out, name=name, device=device, repeats=repeats, proof_steps=0, on_event=on_event,
    )  # fmt: skip


def compare(
    recipe: Recipe | None = None,
    backends: Sequence[str] | str | None = None,
    data: Dataset | str | None = None,
    *,
    out: str | Path = "runs",
    name: str | None = None,
    device: str = "auto",
    repeats: int = 1,
    proof_steps: int = 200,
    tensorboard: bool = False,
    as_tutorial: bool = False,
    on_event: OnEvent = nobody,
) -> Run:
    """Train several backends from the same weights in the same order; leaves a run, returns it.

    At the end `proof_steps` updates are proved to be the same (0: no proof). `tensorboard` writes
    events into the run; `as_tutorial` trains PyTorch and TensorFlow a second time as their
    tutorials do. Raises LockstepError if no backend could be trained; one that failed is in
    `run.results.failures`. `lockstep report NAME` draws the run's page.

    >>> digits = lockstep.load_dataset("digits")
    >>> run = lockstep.compare(lockstep.Recipe(epochs=1), ["numpy"], digits, name="small")
    >>> list(run.results.backends)
    ['numpy']
    """
    data = _data(data)
    chosen = _backends(backends)
    stamp = f"{data.name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    compared = training.compare(
        recipe or Recipe(), chosen, data, Path(out), name or stamp, device, repeats,
        proof_steps, tensorboard, as_tutorial, on_event,
    )  # fmt: skip
    return load([compared.folder])


def verify(
    recipe: Recipe | None = None,
    backends: Sequence[str] | str | None = None,
    data: Dataset | str | None = None,
    steps: int = 100,
    *,
    views: Sequence[str] | str = STEPPED,
    dialect: str | None = None,
    tolerance: float | None = None,
    device: str = "auto",
    on_event: OnEvent = nobody,
) -> Proof:
    """Compare every number of every step with the network by hand; `proof.same` is the verdict.

    Without a recipe it is `Recipe(dtype="float64")`, where rounding leaves a bug no place to hide.
    `views` are of synced, free and trained (`proof/beside.py` says what each means). `dialect` and
    `tolerance` overrule what each backend and each kind of number is judged by.

    >>> digits = lockstep.load_dataset("digits")
    >>> backends = [name for name in lockstep.installed_backends() if name != "numpy"]
    >>> proof = lockstep.verify(backends=backends[:1], data=digits, steps=3)
    >>> proof.same
    True
    """
    seen = tuple(one_of(VIEWS, view, "view") for view in _listed(views))
    return prove.verify(
        recipe or Recipe(dtype="float64"), _backends(backends), _data(data), steps, seen, dialect,
        tolerance, device, on_event,
    )  # fmt: skip


def diagnose(
    file: str | Path,
    recipe: Recipe | None = None,
    data: Dataset | str | None = None,
    steps: int = 10,
    *,
    time_limit: float = 60.0,
) -> Verdict:
    """Run somebody's own network and say which number is the first wrong one, and why.

    `file` is a Python file as `lockstep verify --template` writes it; it runs in a process of its
    own, for `time_limit` seconds at most. Without a recipe it is the one that the template is
    written for. Raises LockstepError where the file cannot be run.

    >>> from pathlib import Path
    >>> from lockstep.diagnosis.check import TEMPLATE
    >>> text = TEMPLATE.read_text(encoding="utf-8").replace("/ N  # (N, 10)", "# (N, 10)")
    >>> _ = Path("mine.py").write_text(text, encoding="utf-8")
    >>> verdict = lockstep.diagnose("mine.py", data=lockstep.load_dataset("digits"))
    >>> verdict.same, verdict.findings[0].names
    (False, ('mean over the batch missing',))
    """
    recipe = recipe or Recipe(**check.TEMPLATE_SETTINGS)
    return check.check(Path(file), recipe, _data(data), steps, time_limit)


def explain(
    left: str = "tensorflow",
    right: str = "torch",
    recipe: Recipe | None = None,
    data: Dataset | str | None = None,
    *,
    seeds: int = 3,
    steps: int | None = None,
    device: str = "cpu",
    on_event: OnEvent = nobody,
) -> Explanation:
    """Why two frameworks' programs differ: align one choice after the other, then undo each alone.

    `steps` is how many updates each program makes (default: one epoch). The conclusion is
    `explanation.conclusion`, a paragraph.

    >>> digits = lockstep.load_dataset("digits")
    >>> found = lockstep.explain("torch", "numpy", data=digits, seeds=1, steps=3)
    >>> found.aligned
    True
    """
    for name in (left, right):
        registry.require(name)
    return differences.explain(
        left, right, recipe or Recipe(batch_size=128), _data(data), seeds, steps,
        device, on_event,
    )  # fmt: skip


def load_run(*folders: str | Path) -> Run:
    """Read a finished run from its folder; several of the same test set become one comparison.

    >>> run = lockstep.load_run("runs/first")
    >>> run.results.dataset.name
    'digits'
    """
    return load([Path(folder) for folder in folders])


def _data(data: Dataset | str | None) -> Dataset:
    """The dataset, given itself or by its name; without, MNIST or what stands in for it."""
    return data if isinstance(data, Dataset) else datasets.load(data)


def _listed(names: Sequence[str] | str) -> Sequence[str]:
    """Several names, or the one that was given alone."""
    return [names] if isinstance(names, str) else names


def _backends(chosen: Sequence[str] | str | None) -> tuple[str, ...]:
    """Those chosen, each installed; or all that are."""
    if chosen is None:
        return registry.installed()
    for name in _listed(chosen):
        registry.require(name)
    return tuple(dict.fromkeys(_listed(chosen)))
