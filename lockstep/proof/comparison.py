"""What a proof says: every difference of every step, and which of them are rounding."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from ..recipe import Recipe
from ..recipe import from_dict as recipe_from_dict
from .trace import FORWARD, KINDS, Number

SCHEMA = 1
VIEWS = ("synced", "free", "trained")
"""How a backend is compared: `beside.py` says what each means."""
STEPPED = VIEWS[:2]
"""Those that need no training compiled."""
FLOAT64 = {"logits": 1e-12, "loss": 1e-12, "gradient": 1e-13, "weight": 1e-12, "memory": 1e-13}
TOLERANCES: dict[tuple[str, str], dict[str, float]] = {
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
    ("float32", "free"): dict.fromkeys(KINDS, np.inf),
    ("float32", "trained"): dict.fromkeys(KINDS, np.inf),
}
"""Largest absolute difference that still is rounding. Measured over an epoch of MNIST in float64:
logits 3e-14, weights 6e-14, gradients and memory 3e-16. In float32 the rounding error of a gradient
near 0 is divided by √v, which is as small, so weights differ by more than gradients; and a free
trajectory drifts by more than any bound: it is reported, not tested."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One backend beside the network by hand in one view."""

    backend: str
    version: str
    device: str
    dialect: str
    view: str
    tensors: list[str]
    """E.g. "logits", "loss", "gradient dense1.weight", "weight dense0.bias", in computed order."""
    differences: np.ndarray
    """(steps, tensors): the largest absolute difference; NaN where either is no number."""
    undecided: np.ndarray
    """(steps,) bool: steps in which a ReLU stands on its kink. Their logits and loss are judged,
    what follows from the backward pass is only shown."""
    tolerances: dict[str, float]
    at: tuple[int, ...] = ()
    """The step after which each row of `differences` was seen, where that is not every step: of
    many updates in one call, weights are seen after the last."""

    @property
    def bounds(self) -> np.ndarray:
        """The tolerance of each tensor, (tensors,)."""
        return np.array([self.tolerances[Number.parse(tensor).kind] for tensor in self.tensors])

    @property
    def judged(self) -> bool:
        """Whether there is a bound and a step to hold to it; free float32 is only shown."""
        return bool(np.isfinite(self.bounds).any() and not self.undecided.all())

    @property
    def counts(self) -> np.ndarray:
        """(steps, tensors) bool: which differences count."""
        forward = np.isin(self.tensors, FORWARD)
        return ~self.undecided[:, None] | forward

    @property
    def first(self) -> tuple[int, str, float] | None:
        """Step (from 1), tensor and size of the first difference out of tolerance, or None."""
        beyond = ~(self.differences <= self.bounds)  # NaN is beyond every bound
        beyond &= self.counts
        if not beyond.any():
            return None
        step, tensor = divmod(int(beyond.argmax()), len(self.tensors))
        return self.step_of(step), self.tensors[tensor], float(self.differences[step, tensor])

    def step_of(self, row: int) -> int:
        """The step (from 1) after which a row of `differences` was seen."""
        return self.at[row] if self.at else row + 1

    @property
    def same(self) -> bool:
        """Whether every number of every step is within its tolerance."""
        return self.first is None

    def worst(self, kind: str | None = None) -> float:
        """The largest difference that counts, of one kind of tensor or of all."""
        columns = np.array([kind in (None, Number.parse(tensor).kind) for tensor in self.tensors])
        return float(self.differences[self.counts & columns].max(initial=0))

    def to_dict(self) -> dict:
        """Plain values for JSON; `from_dict` reads them back. A difference of NaN is null."""
        finite = [[d if np.isfinite(d) else None for d in row] for row in self.differences.tolist()]
        bounds = {k: v if np.isfinite(v) else None for k, v in self.tolerances.items()}
        first = None
        if self.first:
            step, tensor, size = self.first
            first = {
                "step": step,
                "tensor": tensor,
                "difference": size if np.isfinite(size) else None,
            }
        return {
            **{f: getattr(self, f) for f in ("backend", "version", "device", "dialect", "view")},
            "tensors": self.tensors,
            "differences": finite,
            "undecided": self.undecided.tolist(),
            "tolerances": bounds,
            "at": list(self.at),
            "judged": self.judged,
            "same": self.same,
            "first": first,
        }


def from_dict(values: dict) -> Comparison:
    """A comparison from what `to_dict` gave."""
    fields = {f.name: values[f.name] for f in dataclasses.fields(Comparison)}
    fields["differences"] = np.array(values["differences"], float)  # null becomes NaN
    fields["undecided"] = np.array(values["undecided"], bool)
    fields["at"] = tuple(values["at"])
    fields["tolerances"] = {
        kind: np.inf if bound is None else bound for kind, bound in values["tolerances"].items()
    }
    return Comparison(**fields)


class Proof(NamedTuple):
    """What `verify` found."""

    recipe: Recipe
    dataset: str
    steps: int
    initial_weights_sha256: str
    batch_order_sha256: str
    comparisons: list[Comparison]
    failures: dict[str, str]

    @property
    def same(self) -> bool:
        """Whether all ran, something was judged, and nothing that was judged is different."""
        judged = any(c.judged for c in self.comparisons)
        return judged and not self.failures and all(c.same for c in self.comparisons)

    @property
    def verdict(self) -> str:
        """What was proved, in a few sentences; the first says whether they are the same."""
        return " ".join(_sentences(self))

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return {
            "schema": SCHEMA,
            **self._asdict(),
            "recipe": self.recipe.to_dict(),
            "comparisons": [c.to_dict() for c in self.comparisons],
            "same": self.same,
            "verdict": self.verdict,
        }


def proof_from_dict(values: dict) -> Proof:
    """A proof from what `Proof.to_dict` gave."""
    fields = {name: values[name] for name in Proof._fields}
    fields["recipe"] = recipe_from_dict(values["recipe"])
    fields["comparisons"] = [from_dict(comparison) for comparison in values["comparisons"]]
    return Proof(**fields)


ADAPTIVE = ("rmsprop", "adam", "adamw")
"""Optimizers that divide a gradient by its own size, and with it the rounding error of one that is
as small as epsilon: in float32 such a weight may move by a tenth of the learning rate, rightly
(seen: 0.03 of it, in a layer of 2,048). What the formula does is judged in float64."""


def tolerances(recipe: Recipe, view: str, given: float | None = None) -> dict[str, float]:
    """The tolerance of each kind of tensor; one that is given counts for all."""
    if given is not None:
        return dict.fromkeys(KINDS, given)
    bounds = TOLERANCES[recipe.dtype, view]
    if recipe.dtype == "float32" and recipe.optimizer in ADAPTIVE:
        return bounds | {"weight": max(bounds["weight"], recipe.learning_rate / 10)}
    return bounds


def _sentences(proof: Proof) -> list[str]:
    """One sentence for each thing that a reader must know, the verdict first."""
    different = [c for c in proof.comparisons if not c.same]
    judged = [c for c in proof.comparisons if c.judged]
    sentences = []
    if judged and not different:
        *most, last = dict.fromkeys(c.backend for c in judged)
        names = f"{', '.join(most)} or {last}" if most else last
        sentences.append(
            f"The same: over {proof.steps} steps in {proof.recipe.dtype}, no number of {names} "
            f"differs from NumPy's by more than {max(c.worst() for c in judged):.1e}."
        )
    for c in different:
        step, tensor, size = c.first or (0, "", 0.0)
        bound = c.tolerances[Number.parse(tensor).kind]
        sentences.append(
            f"Not the same: {c.backend} ({c.view}) first differs at step {step} in {tensor}, by "
            f"{size:.1e}; the tolerance is {bound:.0e}."
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
