"""How near is near: numbers compared with the reference's, and what rounding may do to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..by_hand.arrays import Array
from ..layouts import Weights
from ..proof.trace import KINDS, Number, Numbers
from ..recipe import Recipe
from .reference import Reference, Seen

TOLERANCE = {"float64": 1e-9, "float32": 1e-5}
"""Of a tensor's largest number (for weights: of its largest move). Honest programs differ by about
1e-14 and 1e-6 (sums in another order, another softmax), the smallest mistake here by 1e-8."""
ROUNDING = {"float64": 1e-15, "float32": 3e-7}
"""What a sum of products loses, relative to its largest result; see `slack`."""
CLEARLY = 10.0
"""How many times better than the reference a mistake must fit to be named."""


class Difference(NamedTuple):
    """A number that is not the reference's."""

    step: int
    """From 1."""
    number: Number
    said: Array
    right: Array
    before: Array | None
    """The weights before the update, where it is the weights that differ."""

    def moved(self, array: Array) -> Array:
        """How far weights were moved to become this array; of any other number, the array."""
        return array if self.before is None else array - self.before


def precision_of(recipe: Recipe, steps: Sequence[Seen]) -> str:
    """float32 where the recipe asks for it, or where a tensor or the losses hold nothing longer."""
    said = [array for seen in steps for array in seen.said.values()]
    losses = np.array([array for array in said if not array.ndim])
    by_chance = 4  # so many different numbers may happen to be short: 0, 1/32, …
    for array in (losses, *(array for array in said if array.ndim)):
        short = np.array_equal(array, array.astype(np.float32))
        if short and len(np.unique(array)) > by_chance:
            return "float32"
    return recipe.dtype


class Nudged(Reference):
    """The reference with honest rounding, exaggerated: what may differ without a mistake.

    ReLU may fall on the other side of 0, Adam makes a full step of a gradient that is nothing but
    rounding, and a probability near 1 is rounded as 1 is, however small its logarithm and P - Y:
    there the numbers of two right programs are far apart.
    """

    def __init__(self, recipe: Recipe, size: float, seed: int) -> None:
        super().__init__(recipe)
        self.size, self.rng = size, np.random.default_rng(seed)

    def nudged(self, X: Array, largest: float | None = None) -> Array:
        largest = float(np.abs(X).max()) if largest is None else largest
        return X + self.size * largest * self.rng.uniform(-1, 1, X.shape)

    def biased(self, Z: Array, b: Array) -> Array:
        return self.nudged(super().biased(Z, b))

    def loss(self, Z: Array, y: Array) -> float:
        return float(self.nudged(np.array(super().loss(Z, y)), largest=1.0))

    def output_derivative(self, Z: Array, y: Array) -> Array:
        return self.nudged(super().output_derivative(Z, y), largest=1 / len(y))

    def collected(self, gradients: Weights) -> Weights:
        return {name: self.nudged(g) for name, g in gradients.items()}


Errors = dict[str, float]
"""Kind of number → the largest error, in units of what is allowed."""
Hopeless = Callable[[set[str]], Any]
"""Takes the kinds of which some number is off; whether it is no use to look further."""


class Judge:
    """Compares numbers with what was said."""

    def __init__(self, recipe: Recipe, steps: Sequence[Seen]) -> None:
        self.recipe, self.steps = recipe, steps
        self.precision = precision_of(recipe, steps)
        self.right = list(Reference(recipe).run(steps))
        self.before: list[Weights] = []
        self.updates: list[int] = []  # since the weights before were seen
        for seen in steps:
            self.before.append(self.before[-1] if seen.weights is None else seen.weights)
            self.updates.append(1 if seen.weights is not None else self.updates[-1] + 1)
        self.slack = self._slack()

    def _slack(self) -> list[Numbers]:
        """How far honest rounding may carry each number."""
        size = ROUNDING[self.precision]
        runs = [list(Nudged(self.recipe, size, seed).run(self.steps)) for seed in range(4)]
        return [
            {
                number: 4 * np.sum([abs(run[i][number] - array) for run in runs], axis=0)
                for number, array in at.items()
            }
            for i, at in enumerate(self.right)
        ]

    def error(self, i: int, number: Number, numbers: Numbers) -> float:
        """How far step i's number is from these, in units of what is allowed: above 1 is wrong."""
        said, right = self.steps[i].said[number], self.right[i][number]
        computed = numbers[number]
        if not np.isfinite(computed).all():
            return np.inf
        size, usual = (self.size(i, number, array) for array in (computed, right))
        grown = max(1.0, size / usual) if usual else 1.0
        allowed = TOLERANCE[self.precision] * size + grown * self.slack[i][number]
        if number.kind == "weight":  # every move is rounded to what the weight can hold
            rounding = 2 * self.updates[i] * np.finfo(self.precision).eps
            allowed = allowed + rounding * np.abs(computed)
        off = np.abs(said - computed)
        return float(np.max(off / np.maximum(allowed, np.finfo(float).tiny)))

    def size(self, i: int, number: Number, array: Array) -> float:
        """The array's largest entry, or, for weights, its largest move."""
        if number.kind == "weight":
            array = array - self.before[i][number.tensor]
        return float(np.abs(array).max())

    def errors(self, run: Iterable[Numbers], hopeless: Hopeless | None = None) -> Errors:
        """The largest error of each kind of number that was said.

        Most mistakes are not the one: once `hopeless` says so, it is run no further.
        """
        worst = {number.kind: 0.0 for seen in self.steps for number in seen.said}
        for i, numbers in enumerate(run):
            for number in self.steps[i].said:
                if worst[number.kind] <= 1 or hopeless is None:
                    worst[number.kind] = max(worst[number.kind], self.error(i, number, numbers))
            if hopeless and hopeless({kind for kind, error in worst.items() if error > 1}):
                break
        return worst

    def differences(self, kinds: Sequence[str] = KINDS) -> Iterable[Difference]:
        """Every number that is not the reference's, in the order in which it was computed."""
        for i, seen in enumerate(self.steps):
            for number, right in self.right[i].items():
                if number not in seen.said or number.kind not in kinds:
                    continue
                if self.error(i, number, self.right[i]) > 1:
                    before = self.before[i][number.tensor] if number.kind == "weight" else None
                    yield Difference(i + 1, number, seen.said[number], right, before)
