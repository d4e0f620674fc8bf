"""What a proof says: every difference of every step, and which of them are rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta
from msgspec.structs import force_setattr

from ..recipe import Recipe
from ..runs.records import Sha256
from ..runs.typed import Flags, Matrix, Record, read
from .trace import FORWARD, KINDS, Number

SCHEMA = 2
"""The version of proof.json's shape; a change that a reader must know of raises it."""
VIEWS = ("synced", "free", "trained")
"""How a backend is compared: `beside.py` says what each means."""
STEPPED = VIEWS[:2]
"""Those that need no training compiled."""
Tolerances = dict[str, float | None]
"""Kind → the largest difference that still is rounding; None where it is reported, not tested."""
FLOAT64: Tolerances = {
    "logits": 1e-12,
    "loss": 1e-12,
    "gradient": 1e-13,
    "weight": 1e-12,
    "memory": 1e-13,
}
TOLERANCES: dict[tuple[str, str], Tolerances] = {
    ("float64", "synced"): FLOAT64,
    ("float64", "free"): FLOAT64,
    ("float64", "trained"): FLOAT64,
    ("float32", "synced"): {
        "logits": 2e-5,
        "loss": 2e-6,
        "gradient": 1e-6,
        "weight": 1e-5,
        "memory": 1e-6,
    },
    ("float32", "free"): dict.fromkeys(KINDS),
    ("float32", "trained"): dict.fromkeys(KINDS),
}
"""Largest absolute difference that still is rounding. Measured over an epoch of MNIST in float64:
logits 3e-14, weights 6e-14, gradients and memory 3e-16. In float32 the rounding error of a gradient
near 0 is divided by √v, which is as small, so weights differ by more than gradients; and a free
trajectory drifts by more than any bound: it is reported, not tested."""


class First(Record, frozen=True, omit_defaults=False):
    """The first difference out of tolerance."""

    step: Annotated[int, Meta(ge=1)]
    tensor: str
    difference: float | None
    """null where one of the two is no number."""

    @property
    def size(self) -> str:
        """`1.0e-03`."""
        return "NaN" if self.difference is None else f"{self.difference:.1e}"


class Comparison(Record, frozen=True, omit_defaults=False, eq=False):
    """One backend beside the network by hand in one view."""

    backend: str
    version: str
    device: str
    dialect: str
    view: str
    tensors: list[str]
    """E.g. "logits", "loss", "gradient dense1.weight", "weight dense0.bias", in computed order."""
    differences: Matrix
    """(steps, tensors): the largest absolute difference; NaN (null) where either is no number."""
    undecided: Flags
    """(steps,): steps in which a ReLU stands on its kink. Their logits and loss are judged, what
    follows from the backward pass is only shown."""
    tolerances: Tolerances
    """Kind of tensor → the largest difference that is rounding; null where it is only shown."""
    at: tuple[Annotated[int, Meta(ge=1)], ...] = ()
    """The step after which each row of `differences` was seen, where that is not every step: of
    many updates in one call, weights are seen after the last."""
    judged: bool = False
    """Whether there is a bound and a step to hold to it; free float32 is only shown."""
    same: bool = False
    """Whether every number of every step is within its tolerance."""
    first: First | None = None
    """The first number that is not."""

    def __post_init__(self) -> None:
        """Compute the last three, whatever a file says."""
        if self.differences.shape != (len(self.undecided), len(self.tensors)):
            raise ValueError("differences is not a row for each step, a number for each tensor")
        if self.at and len(self.at) != len(self.undecided):
            raise ValueError("at has not one step for each row of differences")
        for kind in [Number.parse(tensor).kind for tensor in self.tensors]:
            if kind not in self.tolerances:
                raise ValueError(f"tolerances lacks {kind!r}")
        judged = np.isfinite(self.bounds).any() and not self.undecided.all()
        force_setattr(self, "judged", bool(judged))
        force_setattr(self, "first", self._first())
        force_setattr(self, "same", self.first is None)

    @property
    def bounds(self) -> np.ndarray:
        """The tolerance of each tensor, (tensors,)."""
        found = (self.tolerances[Number.parse(tensor).kind] for tensor in self.tensors)
        return np.array([np.inf if bound is None else bound for bound in found])

    @property
    def counts(self) -> np.ndarray:
        """(steps, tensors) bool: which differences count."""
        forward = np.isin(self.tensors, FORWARD)
        return ~self.undecided[:, None] | forward

    def step_of(self, row: int) -> int:
        """The step (from 1) after which a row of `differences` was seen."""
        return self.at[row] if self.at else row + 1

    def worst(self, kind: str | None = None) -> float:
        """The largest difference that counts, of one kind of tensor or of all."""
        columns = np.array([kind in (None, Number.parse(tensor).kind) for tensor in self.tensors])
        return float(self.differences[self.counts & columns].max(initial=0))

    def _first(self) -> First | None:
        beyond = ~(self.differences <= self.bounds)  # NaN is beyond every bound
        beyond &= self.counts
        if not beyond.any():
            return None
        row, column = divmod(int(beyond.argmax()), len(self.tensors))
        size = float(self.differences[row, column])
        found = size if np.isfinite(size) else None
        return First(self.step_of(row), self.tensors[column], found)


class Proof(Record, frozen=True, omit_defaults=False, eq=False):
    """What `verify` found."""

    recipe: Recipe
    dataset: str
    steps: Annotated[int, Meta(ge=1)]
    initial_weights_sha256: Sha256
    batch_order_sha256: Sha256
    comparisons: list[Comparison]
    failures: dict[str, str]
    """Backend → the sentence that says why it could not be compared."""
    same: bool = False
    """Whether all ran, something was judged, and nothing that was judged is different."""
    verdict: str = ""
    """What was proved, in a few sentences; the first says whether they are the same."""

    def __post_init__(self) -> None:
        """Compute the last two, whatever a file says."""
        judged = any(c.judged for c in self.comparisons)
        same = judged and not self.failures and all(c.same for c in self.comparisons)
        force_setattr(self, "same", same)
        force_setattr(self, "verdict", " ".join(_sentences(self)))


class Proofs(Record, frozen=True, omit_defaults=False, tag_field="schema", tag=SCHEMA):
    """The content of proof.json."""

    proofs: list[Proof] = []  # noqa: RUF012 (msgspec copies it)
    failed: str | None = None
    """Why there is no proof, where one was wanted."""


def load(file: Path) -> Proofs:
    """The proofs of a run."""
    return read(file, Proofs, "proof", "make the run again, or remove the file")


ADAPTIVE = ("rmsprop", "adam", "adamw")
"""Optimizers that divide a gradient by its own size, and with it the rounding error of one that is
as small as epsilon: in float32 such a weight may move by a tenth of the learning rate, rightly
(seen: 0.03 of it, in a layer of 2,048). What the formula does is judged in float64."""


def tolerances(recipe: Recipe, view: str, given: float | None = None) -> Tolerances:
    """The tolerance of each kind of tensor; one that is given counts for all."""
    if given is not None:
        return dict.fromkeys(KINDS, given)
    bounds = TOLERANCES[recipe.dtype, view]
    weight = bounds["weight"]
    if weight is not None and recipe.dtype == "float32" and recipe.optimizer in ADAPTIVE:
        return bounds | {"weight": max(weight, recipe.learning_rate / 10)}
    return bounds


def _sentences(proof: Proof) -> list[str]:
    """One sentence for each thing that a reader must know, the verdict first."""
    judged = [c for c in proof.comparisons if c.judged]
    sentences = []
    if judged and all(c.same for c in proof.comparisons):
        *most, last = dict.fromkeys(c.backend for c in judged)
        names = f"{', '.join(most)} or {last}" if most else last
        sentences.append(
            f"The same: over {proof.steps} steps in {proof.recipe.dtype}, no number of {names} "
            f"differs from NumPy's by more than {max(c.worst() for c in judged):.1e}."
        )
    for c, first in ((c, c.first) for c in proof.comparisons):
        if first:
            bound = c.bounds[c.tensors.index(first.tensor)]
            sentences.append(
                f"Not the same: {c.backend} ({c.view}) first differs at step {first.step} in "
                f"{first.tensor}, by {first.size}; the tolerance is {bound:.0e}."
            )
    for c in proof.comparisons:
        if c.undecided.any():
            sentences.append(
                f"{c.backend}: in {c.undecided.sum()} of {proof.steps} synced steps rounding "
                "decides whether a ReLU is on; of these only logits and loss are judged."
            )
        if c.undecided.all():
            sentences.append(f"{c.backend}: no {c.view} step could be judged; try --dtype float64.")
        elif not c.judged:
            sentences.append(
                f"On its own trajectory the weights of {c.backend} diverge by up to "
                f"{c.worst('weight'):.1e} within {proof.steps} steps of {proof.recipe.dtype} "
                "(reported, not tested)."
            )
    sentences += [f"{backend} failed: {why}" for backend, why in proof.failures.items()]
    return sentences
