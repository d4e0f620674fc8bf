"""One spelling for each number of a step: in proofs, in diagnoses and in what they write.

"Number" as in "every number of every step": a whole array, such as the loss or one weight's
gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import LockstepError, one_of
from ..layouts import Weights

if TYPE_CHECKING:  # a report reads names, and needs no backend for it
    from ..backends.contract import Backend, Step

KINDS = ("logits", "loss", "gradient", "weight", "memory")
"""What a step computes, in the order in which it is computed."""
FORWARD = ("logits", "loss")
"""The kinds that come before the backward pass. Each is one array, and belongs to no weight."""


class Number(NamedTuple):
    """One array that a step computes.

    >>> str(Number("gradient", "dense1.weight"))
    'gradient dense1.weight'
    >>> Number.parse("loss")
    Number(kind='loss', tensor='')
    """

    kind: str
    """One of KINDS."""
    tensor: str = ""
    """The weight that it belongs to, "dense1.weight"; what an optimizer remembers of it,
    "dense1.weight.m"; "" for logits and loss."""

    def __str__(self) -> str:
        return f"{self.kind} {self.tensor}" if self.tensor else self.kind

    @classmethod
    def parse(cls, text: str) -> Number:
        """The number from its spelling; raises LockstepError where it is none."""
        kind, *tensors = text.split(" ")
        one_of(KINDS, kind, "kind of number")
        if len(tensors) != (kind not in FORWARD) or "" in tensors:
            raise LockstepError(
                f"{text!r} is no number of a step; write 'loss' or 'gradient dense0.weight'."
            )
        return cls(kind, *tensors)


Numbers = dict[Number, np.ndarray]
"""What one step computes, in the order in which it is computed."""


def numbers_of(step: Step, network: Backend) -> Numbers:
    """Every number of the step that the network has just made, in the order of KINDS."""
    numbers = {Number("logits"): step.logits, Number("loss"): np.array(step.loss)}
    for name in reversed(step.gradients):  # the backward pass starts at the last layer
        numbers[Number("gradient", name)] = step.gradients[name]
    return numbers | _named("weight", step.weights) | _memory_of(network)


def left_by(network: Backend) -> Numbers:
    """What many updates have left: the weights, and what the optimizer remembers of them."""
    return _named("weight", network.weights) | _memory_of(network)


def _memory_of(network: Backend) -> Numbers:
    state = network.state
    state.pop("updates", None)  # a count, which belongs to no weight
    return _named("memory", state)


def _named(kind: str, arrays: Weights) -> Numbers:
    return {Number(kind, name): array for name, array in arrays.items()}


def of_kind(numbers: Numbers, kind: str) -> Weights:
    """The arrays of one kind, by the weights that they belong to."""
    return {number.tensor: array for number, array in numbers.items() if number.kind == kind}


def archive_key(place: str, number: Number) -> str:
    """The number's name in an archive of many steps: "3/gradient dense1.weight" at place "3"."""
    return f"{place}/{number}"


def from_archive_key(key: str) -> tuple[str, Number]:
    """Place and number, from what `archive_key` gave."""
    place, _, number = key.rpartition("/")
    return place, Number.parse(number)
