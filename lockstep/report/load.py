"""What a report is made of: one run as it lies on disk, or several as one comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from ..errors import LockstepError
from ..layouts import Weights, dense_names
from ..proof import comparison
from ..proof.comparison import Proof, Proofs
from ..recipe import Recipe
from ..runs import predictions, records
from ..runs.predictions import Predictions
from ..runs.records import Results
from ..runs.weights import load_weights
from . import sentences

BETWEEN = " · "
"""Between a backend's name and its run's, where several runs are compared."""


class Run(NamedTuple):
    """Everything that a report shows, read from the files of finished runs."""

    results: Results
    """Of several runs: their backends side by side, each named with its run."""
    predictions: Predictions
    proofs: list[Proof]
    proof_failed: str | None
    """Why there is no proof, where one was wanted."""
    weights: dict[str, Weights]
    """Label → the trained weights of the first seed, by name: "dense0.weight" (pixels, hidden)."""
    runs: list[Results]
    """Each run as it was."""

    @property
    def recipe(self) -> Recipe:
        """How they were trained; of several runs, the first one's."""
        return self.results.recipe

    @property
    def first_layers(self) -> dict[str, np.ndarray]:
        """Label → (pixels, hidden), the first matrix of the weights."""
        matrix, _ = dense_names(0)
        return {label: weights[matrix] for label, weights in self.weights.items()}

    def overview(self) -> str:
        """Every backend at a glance, as a Markdown table."""
        return sentences.overview(self.results).markdown()

    def backend_of(self, label: str) -> str:
        """The backend's name: without the run's."""
        return label.split(BETWEEN)[0]


def load(folders: Sequence[Path]) -> Run:
    """Read one run, or several of the same test set; raises if a file is absent or not whole."""
    found = [_load(folder) for folder in folders]
    return found[0] if len(found) == 1 else _side_by_side(found)


def _load(path: Path) -> Run:
    results = records.load(path)
    folder = path if path.is_dir() else path.parent
    file = folder / "proof.json"
    found = comparison.load(file) if file.exists() else Proofs()  # it was made without
    seen = predictions.load(folder / "predictions.safetensors", list(results.backends))
    weights = {
        name: load_weights(folder / "weights" / f"{name}.safetensors")[0]
        for name in results.backends
    }
    return Run(results, seen, found.proofs, found.failed, weights, [results])


def _side_by_side(found: list[Run]) -> Run:
    """Several runs as one: every backend of every run, under a label of its own."""
    first = found[0]
    for other in found[1:]:
        one, two = first.results, other.results
        if two.dataset.title != one.dataset.title or (
            not np.array_equal(other.predictions.labels, first.predictions.labels)
        ):
            raise LockstepError(
                f"The run {two.name} is of {two.dataset.title}, and {one.name} of "
                f"{one.dataset.title}; a report compares runs of the same test set."
            )
    names = _distinct([run.results.name for run in found])
    backends, logits, weights = {}, {}, {}
    failures: dict[str, str] = {}
    proofs: list[Proof] = []
    for name, run in zip(names, found, strict=True):
        for backend, result in run.results.backends.items():
            label = f"{backend}{BETWEEN}{name}"
            backends[label] = result
            logits[label] = run.predictions.logits[backend]
            weights[label] = run.weights[backend]
        why_each = run.results.failures.items()
        failures |= {f"{backend}{BETWEEN}{name}": why for backend, why in why_each}
        proofs += [_labelled(proof, name) for proof in run.proofs]
    together = replace(
        first.results, name=" and ".join(names), backends=backends, failures=failures
    )
    why = " ".join(filter(None, (run.proof_failed for run in found))) or None
    seen = _shown_side_by_side(first.predictions.labels, logits, [run.predictions for run in found])
    return Run(together, seen, proofs, why, weights, [run.results for run in found])


def _labelled(proof: Proof, run: str) -> Proof:
    comparisons = [replace(c, backend=f"{c.backend}{BETWEEN}{run}") for c in proof.comparisons]
    failures = {f"{backend}{BETWEEN}{run}": why for backend, why in proof.failures.items()}
    return replace(proof, comparisons=comparisons, failures=failures)


def _shown_side_by_side(
    labels: np.ndarray, logits: dict[str, np.ndarray], found: list[Predictions]
) -> Predictions:
    """The digits that any run kept, those first that are most worth a look among all of them."""
    images = {
        int(index): image
        for seen in found
        for index, image in zip(seen.shown, seen.images, strict=True)
    }
    shown = [i for i in predictions.worth_showing(labels, logits, len(labels)) if int(i) in images]
    shown = shown[: predictions.MOST]
    pictures = [images[int(index)] for index in shown]
    return Predictions(labels, logits, np.array(shown), np.array(pictures))


def _distinct(names: list[str]) -> list[str]:
    """The names; all are numbered, by the run's place, where one comes twice."""
    if len(set(names)) == len(names):
        return names
    return [f"{name} ({place})" for place, name in enumerate(names, start=1)]
