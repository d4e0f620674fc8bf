"""Several backends, one recipe, one dataset: train each, compare them, leave one run on disk."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import answers, results, train, verify, worker
from .backend import REFERENCE, idiom
from .backends.numpy import Network
from .datasets import Dataset
from .errors import LockstepError, TrainingFailed
from .progress import Progress
from .recipe import Recipe, Weights, largest_difference
from .results import BackendResult, Results
from .verify import Proof


class Compared(NamedTuple):
    """What a comparison gives: its results, where they lie, and what was proved at its end."""

    results: Results
    folder: Path
    proofs: list[Proof]
    proof_failed: str | None

    @property
    def well(self) -> bool:
        """Whether every backend trained, and every proof that was wanted says the same."""
        same = all(proof.same for proof in self.proofs)
        return same and not self.proof_failed and not self.results["failures"]


def compare(
    recipe: Recipe,
    backends: tuple[str, ...],
    data: Dataset,
    out: Path,
    name: str,
    device: str = "auto",
    repeats: int = 1,
    progress: Progress | None = None,
    proof_steps: int = 0,
    tensorboard: bool = False,
    idiomatic: bool = False,
) -> Compared:
    """Train every backend in its own process, one after the other, and compare what comes out.

    If `idiomatic`, a backend whose framework has an idiom trains a second time, as tutorials do.
    With `repeats` every backend trains again with the next seeds, the backends taking turns, so
    that a machine that slows down slows all of them. A backend that fails is in `failures`; if all
    fail, no run is left. NumPy stays on the CPU beside others on a GPU. `proof_steps` is how many
    updates the proof at the end follows; 0 leaves it away. With `tensorboard` (whose package must
    be there) each training writes its events too.

    The run is there when its training is whole. The proof and the report come after: whatever
    happens to them, `lockstep report` can draw it.
    """
    progress = progress or Progress.quiet()
    with progress:
        trainings = _trainings(backends, idiomatic)
        run = _trained(recipe, trainings, data, out, name, device, repeats, progress, tensorboard)
        final = out / name
        try:
            wanted = proof_steps and set(run["backends"]) - {REFERENCE}
            if wanted:  # until it is there: should this be interrupted, the page says so
                _write_proofs(final, [], "it was not finished")
            proofs, why = _prove(run, recipe, data, proof_steps, device, progress)
            if wanted:
                _write_proofs(final, proofs, why)
            progress.note("Drawing the report …")
            from .report import evidence, page

            page.write(evidence.load([final]), final)
        except BaseException:
            command = shlex.join(["lockstep", "report", str(final)])
            print(f"\nThe training is whole and kept; `{command}` draws it.", file=sys.stderr)
            raise
    return Compared(run, final, proofs, why)


def _trainings(backends: tuple[str, ...], idiomatic: bool) -> dict[str, str]:
    """Label → backend of every training, in turn; an idiom has a label other than its backend's."""
    found = {}
    for backend in backends:
        found[backend] = backend
        if idiomatic and idiom(backend):
            found[results.training_label(backend, idiom(backend))] = backend
    return found


def _write_proofs(folder: Path, proofs: list[Proof], failed: str | None) -> None:
    content = {"proofs": [proof.to_dict() for proof in proofs], "failed": failed}
    results.write_json(folder / "proof.json", content, indent=None)


def _trained(
    recipe: Recipe,
    trainings: dict[str, str],
    data: Dataset,
    out: Path,
    name: str,
    device: str,
    repeats: int,
    progress: Progress,
    tensorboard: bool,
) -> Results:
    """The run as it lies under its name when this returns: all but the proof and the report."""
    with results.new_run(out, name) as folder:
        found, failures = _train(
            recipe, trainings, data, folder, device, repeats, progress, tensorboard
        )
        each = {
            label: _combine(runs)
            for label, runs in found.items()
            if not {label, trainings[label]} & failures.keys()
        }
        scratch = folder / "scratch"
        if set(each) - {REFERENCE}:
            progress.note("Holding the weights after the first epoch against NumPy's …")
            _measure_differences(each, recipe, data, scratch)
        measured = _beside_its_backend(each, trainings)
        logits = {b: np.load(scratch / f"{b}.npy", allow_pickle=False) for b in measured}
        answers.save(folder / "answers.safetensors", answers.collect(data.test, logits))
        shutil.rmtree(scratch)
        run = _results(name, recipe, data, measured, failures)
        results.write_json(folder / "results.json", run)
    return run


def _results(
    name: str,
    recipe: Recipe,
    data: Dataset,
    measured: dict[str, BackendResult],
    failures: dict[str, str],
) -> Results:
    return {
        "schema": results.SCHEMA,
        "name": name,
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": _command(),
        "dataset": {
            "name": data.name,
            "title": data.title,
            "classes": list(data.classes),
            "train": len(data.train.labels),
            "test": len(data.test.labels),
            "sha256": data.sha256,
        },
        "recipe": recipe.to_dict(),
        "environment": results.environment(),
        "backends": measured,
        "failures": failures,
    }


def _train(
    recipe: Recipe,
    trainings: dict[str, str],
    data: Dataset,
    folder: Path,
    device: str,
    repeats: int,
    progress: Progress,
    tensorboard: bool,
) -> tuple[dict[str, list[BackendResult]], dict[str, str]]:
    """Each training's results, seed after seed, and why one failed; raises if no backend trained.

    A backend that fails takes its idiom with it.
    """
    backends = set(trainings.values())
    found: dict[str, list[BackendResult]] = {label: [] for label in trainings}
    failures: dict[str, worker.WorkerFailed] = {}
    (folder / "scratch").mkdir()
    for repeat in range(repeats):
        seeded = dataclasses.replace(recipe, seed=recipe.seed + repeat)
        for label, backend in trainings.items():
            if {label, backend} & failures.keys():
                continue
            progress.start(label, seeded, repeat, repeats)
            own = "cpu" if backend == REFERENCE and len(backends) > 1 else device
            job = _job(label, backend, seeded, data, own, folder, keep=repeat == 0)
            if tensorboard:
                job["tensorboard"] = str(_events_folder(folder, label, seeded, repeat))
            try:
                found[label].append(worker.run(job, progress.event))
                progress.done()
            except worker.WorkerFailed as error:
                failures[label] = error
                progress.failed(str(error))
                _remove_events(folder, label)
    if backends <= failures.keys():
        kind = LockstepError if all(e.unusable for e in failures.values()) else TrainingFailed
        raise kind(" ".join(f"{name} failed: {error}" for name, error in failures.items()))
    return found, {name: str(error) for name, error in failures.items()}


def _prove(
    run: Results,
    recipe: Recipe,
    data: Dataset,
    steps: int,
    device: str,
    progress: Progress,
) -> tuple[list[Proof], str | None]:
    """The recipe's own precision step by step, and float64 freely; or why there is no proof."""
    others = tuple(backend for backend in run["backends"] if backend != REFERENCE)
    if not (others and steps):
        return [], None

    def tell(backend: str, event: dict) -> None:
        if event["event"] == "compiling":
            progress.note(f"{backend}: {event['words']}")
            return
        progress.compared(f"{backend}, {event['title']}", event["step"], steps)

    progress.note("Proving that every step is NumPy's …")
    exact = "auto" if device == "mps" else device  # Metal has no float64
    control = verify.Trial(dataclasses.replace(recipe, dtype="float64"), ("free",), exact)
    trials = [control]
    if recipe.dtype != "float64":
        trials = [verify.Trial(recipe, ("synced",), device), control]
    try:
        return verify.prove(trials, others, data, steps, tell=tell), None
    except LockstepError as error:
        return [], str(error)


def _job(
    label: str,
    backend: str,
    recipe: Recipe,
    data: Dataset,
    device: str,
    folder: Path,
    keep: bool,
) -> dict:
    """What `worker.run` needs; only what comes of the first seed is kept, of an idiom no file."""
    idiomatic = label != backend
    weights = folder / "weights" / f"{backend}.safetensors"
    logits = folder / "scratch" / f"{backend}.npy"
    files = {
        "weights": None if idiomatic else weights,
        "first_epoch_weights": folder / "scratch" / f"{label}.safetensors",
        "test_logits": None if idiomatic else logits,
    }
    paths = {key: str(path.resolve()) if keep and path else None for key, path in files.items()}
    return {**worker.job("train", backend, recipe, data, device, idiomatic), **paths}


def _events_folder(folder: Path, label: str, recipe: Recipe, repeat: int) -> Path:
    """Where TensorBoard finds a training: the first seed's has the same place in every run."""
    name = _stem(label) if repeat == 0 else f"{_stem(label)}-seed{recipe.seed}"
    return (folder / "tensorboard" / name).resolve()


def _stem(label: str) -> str:
    """`torch-DataLoader`: a label as a file's name has it."""
    return label.replace(", ", "-")


def _remove_events(folder: Path, label: str) -> None:
    """Take back what a training wrote before it failed, in the results it is not either."""
    for place in (folder / "tensorboard").glob("*"):
        if f"{place.name}-".startswith(f"{_stem(label)}-"):
            shutil.rmtree(place)


def _combine(runs: list[BackendResult]) -> BackendResult:
    """The first seed's result, and every seed's beneath it if there are several."""
    first = runs[0].copy()
    if len(runs) > 1:
        first["repeats"] = runs
    return first


def _beside_its_backend(
    each: dict[str, BackendResult], trainings: dict[str, str]
) -> dict[str, BackendResult]:
    """One result for each backend, which holds that of its idiom."""
    measured = {label: result for label, result in each.items() if label == trainings[label]}
    for label in each.keys() - measured.keys():
        measured[trainings[label]]["idiomatic"] = each[label]
    return measured


def _measure_differences(
    measured: dict[str, BackendResult], recipe: Recipe, data: Dataset, scratch: Path
) -> None:
    """Add `weights_difference`: from the network by hand, speaking the training's own dialect."""
    references: dict[str, Weights] = {}
    for label, result in measured.items():
        if label == REFERENCE:
            continue
        dialect = result["dialect"]
        if dialect not in references:
            references[dialect] = _reference(measured, recipe, data, dialect, scratch)
        weights, _ = results.load_weights(scratch / f"{label}.safetensors")
        result["weights_difference"] = largest_difference(weights, references[dialect])


def _reference(
    measured: dict[str, BackendResult], recipe: Recipe, data: Dataset, dialect: str, scratch: Path
) -> Weights:
    """NumPy's weights after the first epoch: those of its run, if that spoke the same dialect."""
    own = measured.get(REFERENCE)
    if own and (own["dialect"] == dialect or recipe.optimizer == "sgd"):  # sgd has no dialects
        return results.load_weights(scratch / f"{REFERENCE}.safetensors")[0]
    network = Network(dataclasses.replace(recipe, dialect=dialect), recipe.initial_weights())
    order, rates = train.plan(recipe, len(data.train.labels), epoch=1)
    images = train.distort(network, data.train.images, epoch=1)
    network.train_epoch(images, data.train.labels, order, rates)
    return network.weights


def _command() -> str:
    """The command that made this run, as it can be typed again."""
    program = Path(sys.argv[0]).name
    return shlex.join(["lockstep" if program == "__main__.py" else program, *sys.argv[1:]])
