"""From two programs as everyone writes them to the same numbers, one choice a rung; and back."""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass
from typing import Any

from ..backends.registry import REFERENCE
from .choices import Choices

ASPECTS = {
    "weights": "initial weights",
    "biases": "initial biases",
    "order": "batch order",
    "loss": "loss form",
    "epsilon": "epsilon",
    "place": "epsilon's place",
    "betas": "betas' precision",
    "tf32": "TF32 products",
    "metric": "metric",
    "dtype": "precision",
}
"""What is aligned, in this order: each a field of `Choices`, with its name for people."""


@dataclass(frozen=True)
class Difference:
    """What lies between the two programs, trained from one seed."""

    weights: dict[int, float]
    """After so many steps, the largest absolute difference of a weight."""
    loss: float
    """The largest absolute difference of a batch's loss along the training, in nats."""
    accuracy: float
    """Test accuracy at the end, left minus right, in percentage points."""
    reported: float
    """The training accuracy that each program reports, left minus right, likewise."""


@dataclass(frozen=True)
class Rung:
    """Two programs, what was changed to get there, and their difference for each seed."""

    aspect: str
    """A key of ASPECTS; "nothing" and "clipped" are the two rungs beside."""
    title: str
    change: str
    left: Choices
    right: Choices
    differences: tuple[Difference, ...] = ()

    @property
    def apart(self) -> float:
        """The largest difference of a weight at the end, median over the seeds."""
        return statistics.median(d.weights[max(d.weights)] for d in self.differences)

    @property
    def worst(self) -> float:
        """The largest difference of a weight after any number of steps, whatever the seed."""
        return max(max(d.weights.values()) for d in self.differences)


def ladder(left: Choices, right: Choices, cuda: bool = False) -> list[Rung]:
    """From both programs as they are to the left one having all the right one's choices."""
    rungs = [Rung("nothing", "nothing yet", "", left, right)]
    for aspect in _differing(left, right, cuda):
        after = align(left, right, aspect)
        rungs.append(Rung(aspect, ASPECTS[aspect], _change(aspect, left, after[0]), *after))
        left, right = after
    return rungs


def undone(own: Choices, left: Choices, right: Choices, cuda: bool = False) -> list[Rung]:
    """From the aligned programs, each of the left one's own choices given back alone."""
    rungs = []
    for aspect in _differing(own, right, cuda):
        other = right
        single = _replace(left, aspect, getattr(own, aspect))
        if aspect in ("dtype", "tf32"):  # both programs are float32, and in float64 is no TF32
            single, other = (_replace(p, "dtype", "float32") for p in (single, right))
        rungs.append(Rung(aspect, ASPECTS[aspect], _change(aspect, left, single), single, other))
    if own.weights != REFERENCE:  # by hand, softmax and logarithm cancel: there is nothing to clip
        clipped = _replace(left, "loss", "clipped")
        change = _change("loss", left, clipped)
        rungs.append(Rung("clipped", "clipped loss", change, clipped, right))
    return rungs


def align(left: Choices, right: Choices, aspect: str) -> tuple[Choices, Choices]:
    """Both programs with one choice in common: the right one's, or float64 for both."""
    if aspect == "dtype":
        return _replace(left, "dtype", "float64"), _replace(right, "dtype", "float64")
    return _replace(left, aspect, getattr(right, aspect)), right


def _replace(program: Choices, aspect: str, choice: Any) -> Choices:
    return dataclasses.replace(program, **{aspect: choice})


def _differing(left: Choices, right: Choices, cuda: bool) -> list[str]:
    """The aspects that there are to align: those that differ, and the precision always."""
    aspects = [a for a in ASPECTS if getattr(left, a) != getattr(right, a) or a == "dtype"]
    return [aspect for aspect in aspects if cuda or aspect != "tf32"]


def _change(aspect: str, before: Choices, after: Choices) -> str:
    """`1e-07 → 1e-08`, `tensorflow's → torch's`, `on → off`."""

    def word(value: Any) -> str:
        if aspect in ("weights", "biases", "order"):
            return f"{value}'s"
        if isinstance(value, bool):
            return "on" if value else "off"
        return f"{value:g}" if isinstance(value, float) else str(value)

    return f"{word(getattr(before, aspect))} → {word(getattr(after, aspect))}"
