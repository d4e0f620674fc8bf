"""Mistakes in what goes in: pixels that are scaled otherwise, labels that are shifted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ...by_hand.arrays import Array
from ...recipe import Recipe
from .catalogue import Case, Mistake, mistake

MNIST_MEAN, MNIST_DEVIATION = 0.1307, 0.3081


def standardised(X: Array) -> Array:
    """Every pixel by its own mean and deviation over these images; dark ones stay 0."""
    deviation = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(deviation > 0, deviation, 1)


INPUTS: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "inputs not scaled": (
        "the pixels are not scaled to 0…1: divide them by 255",
        lambda X: X * 255,
    ),
    "inputs scaled twice": ("the pixels are divided by 255 twice", lambda X: X / 255),
    "inputs over 256": ("the pixels are divided by 256, not 255", lambda X: X * (255 / 256)),
    "inputs to -1…1": ("the pixels are scaled to -1…1, not 0…1", lambda X: 2 * X - 1),
    "inputs inverted": ("the pixels are inverted: 0 is the background here", lambda X: 1 - X),
    "inputs standardised by MNIST's numbers": (
        "the pixels are standardised by MNIST's mean 0.1307 and deviation 0.3081, not only scaled",
        lambda X: (X - MNIST_MEAN) / MNIST_DEVIATION,
    ),
    "inputs standardised": (
        "the pixels are standardised by the mean and deviation of these images, not only scaled",
        lambda X: (X - X.mean()) / X.std(),
    ),
    "inputs standardised pixel by pixel": (
        "every pixel is standardised by its own mean and deviation, not only scaled",
        standardised,
    ),
    "inputs centred": (
        "the mean of the images is taken out of the pixels",
        lambda X: X - X.mean(axis=0),
    ),
    "inputs made black and white": (
        "the pixels are rounded to 0 and 1",
        lambda X: (X > 0.5).astype(float),
    ),
}


@mistake
class Inputs(Mistake):
    def __init__(self, recipe: Recipe, name: str) -> None:
        super().__init__(recipe)
        self.name = name
        self.sentence, self.changed = INPUTS[name]

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        for name in INPUTS:
            yield cls(case.recipe, name)

    def inputs(self, X: Array) -> Array:
        return self.changed(X)


@mistake
class LabelsShifted(Mistake):
    """By one class, or by one place in the batch, so that an image has its neighbour's label."""

    def __init__(
        self, recipe: Recipe, name: str, sentence: str, shift: Callable[..., Array]
    ) -> None:
        super().__init__(recipe)
        self.name, self.sentence, self.shift = name, sentence, shift

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        classes = case.recipe.classes
        for by in (1, -1):
            yield cls(
                case.recipe,
                f"labels shifted by {by:+} class",
                f"the labels are shifted by {by:+}: digit d counts as class d{by:+}",
                lambda y, by=by: (y.astype(int) + by) % classes,
            )
            yield cls(
                case.recipe,
                f"labels shifted by {by:+} place",
                f"the labels are shifted by {by:+} place in the batch against the images",
                lambda y, by=by: np.roll(y, by),
            )

    def labels(self, y: Array) -> Array:
        return self.shift(y)
