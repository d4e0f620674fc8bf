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
from msgspec.structs import replace

from ..backends.numpy import Network
from ..backends.registry import REFERENCE, tutorial
from ..data.datasets import Dataset
from ..errors import LockstepError, TrainingFailed
from ..layouts import Weights, largest_difference
from ..processes import jobs, parent
from ..processes.child import Request
from ..processes.events import OnEvent, nobody
from ..proof import prove
from ..proof.comparison import Proof, Proofs
from ..recipe import Recipe
from ..runs import machine, predictions, records
from ..runs.files import new_run, write_json
from ..runs.records import BackendResult, DatasetInfo, Environment, Results
from ..runs.typed import plain, typed
from ..runs.weights import load_weights
from . import child, loop


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
        return same and not self.proof_failed and not self.results.failures


def compare(
    recipe: Recipe,
    backends: tuple[str, ...],
    data: Dataset,
    out: Path,
    name: str,
    device: str = "auto",
    repeats: int = 1,
    proof_steps: int = 0,
    tensorboard: bool = False,
    as_tutorial: bool = False,
    on_event: OnEvent = nobody,
) -> Compared:
    """Train every backend in its own process, one after the other, and compare what comes out.

    If `as_tutorial`, a backend whose tutorials train in a way of their own trains a second time, in
    that way. With `repeats` every backend trains again with the next seeds, the backends taking
    turns, so that a machine that slows down slows all of them. A backend that fails is in
    `failures`; if all fail, no run is left. NumPy stays on the CPU beside others on a GPU.
    `proof_steps` is how many updates the proof at the end follows; 0 leaves it away. With
    `tensorboard` (whose package must be there) each training writes its events too.

    The run is there when its training is whole ("kept" is told then). The proof comes after:
    whatever happens to it, `lockstep report` can draw the run.
    """
    if not backends:
        raise LockstepError("There is no backend to train; name one or more.")
    if repeats < 1 or proof_steps < 0:
        raise LockstepError(
            f"repeats is {repeats} and proof_steps {proof_steps}; at least 1 and 0 are needed."
        )
    trainings = _trainings(backends, as_tutorial)
    run = _trained(recipe, trainings, data, out, name, device, repeats, on_event, tensorboard)
    final = out / name
    on_event({"event": "kept", "folder": str(final)})
    wanted = proof_steps and set(run.backends) - {REFERENCE}
    if wanted:  # until it is there: should this be interrupted, the page says so
        _write_proofs(final, [], "it was not finished")
    proofs, why = _prove(run, recipe, data, proof_steps, device, on_event)
    if wanted:
        _write_proofs(final, proofs, why)
    return Compared(run, final, proofs, why)


def _trainings(backends: tuple[str, ...], as_tutorial: bool) -> dict[str, str]:
    """Label → backend of every training, in turn; as tutorials do it, the label is another."""
    found = {}
    for backend in backends:
        found[backend] = backend
        if as_tutorial and tutorial(backend):
            found[records.training_label(backend, tutorial(backend))] = backend
    return found


def _write_proofs(folder: Path, proofs: list[Proof], failed: str | None) -> None:
    content = plain(Proofs(proofs=proofs, failed=failed))
    write_json(folder / "proof.json", content, indent=None)


def _trained(
    recipe: Recipe,
    trainings: dict[str, str],
    data: Dataset,
    out: Path,
    name: str,
    device: str,
    repeats: int,
    on_event: OnEvent,
    tensorboard: bool,
) -> Results:
    """The run as it lies under its name when this returns: all but the proof and the report."""
    with new_run(out, name) as folder:
        found, failures = _train(
            recipe, trainings, data, folder, device, repeats, on_event, tensorboard
        )
        each = {
            label: _combine(runs)
            for label, runs in found.items()
            if not {label, trainings[label]} & failures.keys()
        }
        scratch = folder / "scratch"
        if set(each) - {REFERENCE}:
            words = "Comparing the weights after the first epoch with NumPy's …"
            on_event({"event": "note", "words": words})
            each = _with_differences(each, recipe, data, scratch)
        measured = _beside_its_backend(each, trainings)
        logits = {b: np.load(scratch / f"{b}.npy", allow_pickle=False) for b in measured}
        predictions.save(folder / "predictions.safetensors", predictions.collect(data.test, logits))
        shutil.rmtree(scratch)
        run = _results(name, recipe, data, measured, failures)
        write_json(folder / "results.json", plain(run))
    return run


def _results(
    name: str,
    recipe: Recipe,
    data: Dataset,
    measured: dict[str, BackendResult],
    failures: dict[str, str],
) -> Results:
    return Results(
        name=name,
        created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        command=_command(),
        dataset=DatasetInfo(
            name=data.name,
            title=data.title,
            classes=list(data.classes),
            train=len(data.train.labels),
            test=len(data.test.labels),
            sha256=data.sha256,
        ),
        recipe=recipe,
        environment=Environment(**machine.environment()),
        backends=measured,
        failures=failures,
    )


def _train(
    recipe: Recipe,
    trainings: dict[str, str],
    data: Dataset,
    folder: Path,
    device: str,
    repeats: int,
    on_event: OnEvent,
    tensorboard: bool,
) -> tuple[dict[str, list[BackendResult]], dict[str, str]]:
    """Each training's results, seed after seed, and why one failed; raises if no backend trained.

    A backend that fails takes its tutorial with it.
    """
    backends = set(trainings.values())
    found: dict[str, list[BackendResult]] = {label: [] for label in trainings}
    failures: dict[str, parent.ChildFailed] = {}
    (folder / "scratch").mkdir()
    for repeat in range(repeats):
        seeded = dataclasses.replace(recipe, seed=recipe.seed + repeat)
        for label, backend in trainings.items():
            if {label, backend} & failures.keys():
                continue
            begins = {"label": label, "recipe": seeded, "repeat": repeat, "repeats": repeats}
            on_event({"event": "training", **begins})
            where = "cpu" if backend == REFERENCE and len(backends) > 1 else device
            job = _job(label, backend, seeded, data, where, folder, keep=repeat == 0)
            if tensorboard:
                job["tensorboard"] = str(
                    events_folder(folder, label, seeded.seed, repeat).resolve()
                )
            try:
                told = parent.send(child.__name__, job, on_event)
                found[label].append(typed(told, BackendResult))
                on_event({"event": "trained"})
            except parent.ChildFailed as error:
                failures[label] = error
                on_event({"event": "failed", "message": str(error)})
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
    on_event: OnEvent,
) -> tuple[list[Proof], str | None]:
    """The recipe's own precision step by step, and float64 freely, by steps and as it trained."""
    others = tuple(backend for backend in run.backends if backend != REFERENCE)
    if not (others and steps):
        return [], None

    on_event({"event": "note", "words": "Proving that every step is NumPy's …"})
    exact = "auto" if device == "mps" else device  # Metal has no float64
    control = prove.Trial(dataclasses.replace(recipe, dtype="float64"), ("free", "trained"), exact)
    trials = [control]
    if recipe.dtype != "float64":
        trials = [prove.Trial(recipe, ("synced",), device), control]
    try:
        return prove.prove(trials, others, data, steps, on_event=on_event), None
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
) -> Request:
    """A training's job. Only the first seed of the fast way keeps files."""
    as_tutorial = label != backend
    weights = folder / "weights" / f"{backend}.safetensors"
    logits = folder / "scratch" / f"{backend}.npy"
    files = {
        "weights": None if as_tutorial else weights,
        "first_epoch_weights": folder / "scratch" / f"{label}.safetensors",
        "test_logits": None if as_tutorial else logits,
    }
    paths = {key: str(path.resolve()) if keep and path else None for key, path in files.items()}
    return {**jobs.job(backend, recipe, data, device, as_tutorial), **paths}


def events_folder(folder: Path, label: str, seed: int, repeat: int) -> Path:
    """Where TensorBoard finds a training: the first seed's has the same place in every run."""
    name = _stem(label) if repeat == 0 else f"{_stem(label)}-seed{seed}"
    return folder / "tensorboard" / name


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
    return replace(runs[0], repeats=runs) if len(runs) > 1 else runs[0]


def _beside_its_backend(
    each: dict[str, BackendResult], trainings: dict[str, str]
) -> dict[str, BackendResult]:
    """One result for each backend, which holds that of its tutorial."""
    measured = {label: result for label, result in each.items() if label == trainings[label]}
    for label in each.keys() - measured.keys():
        backend = trainings[label]
        measured[backend] = replace(measured[backend], as_tutorial=each[label])
    return measured


def _with_differences(
    measured: dict[str, BackendResult], recipe: Recipe, data: Dataset, scratch: Path
) -> dict[str, BackendResult]:
    """With `weights_difference`: from the network by hand, speaking the training's own dialect."""
    references: dict[str, Weights] = {}
    found = dict(measured)
    for label in measured.keys() - {REFERENCE}:
        dialect = measured[label].dialect
        if dialect not in references:
            references[dialect] = _reference(measured, recipe, data, dialect, scratch)
        weights, _ = load_weights(scratch / f"{label}.safetensors")
        apart = largest_difference(weights, references[dialect])
        found[label] = replace(measured[label], weights_difference=apart)
    return found


def _reference(
    measured: dict[str, BackendResult], recipe: Recipe, data: Dataset, dialect: str, scratch: Path
) -> Weights:
    """NumPy's weights after the first epoch: those of its run, if that spoke the same dialect."""
    result = measured.get(REFERENCE)
    if result and (result.dialect == dialect or recipe.optimizer == "sgd"):  # sgd has no dialects
        return load_weights(scratch / f"{REFERENCE}.safetensors")[0]
    network = Network(dataclasses.replace(recipe, dialect=dialect), recipe.initial_weights())
    order, rates = loop.batches_and_rates(recipe, len(data.train.labels), epoch=1)
    images = loop.distort(network, data.train.images, epoch=1)
    network.train_epoch(images, data.train.labels, order, rates)
    return network.weights


def _command() -> str:
    """The command that made this run, as it can be typed again."""
    program = Path(sys.argv[0]).name
    return shlex.join(["lockstep" if program == "__main__.py" else program, *sys.argv[1:]])
