"""What somebody's program is given to compute: steps, and a training of two epochs."""

from __future__ import annotations

import numpy as np

from .. import schedules
from ..data import datasets
from ..data.order import epoch_batches
from ..layouts import Weights, dense_names
from ..recipe import Recipe
from .reference import Reference, in_float64

GAP = 60.0
"""How far apart the logits are at the last step: exp(-60) is no 0 even in float32, but a clipped
probability, or one with an ε added, is far from it."""


class Given:
    """Some images, in batches of which the last one is smaller, with labels and learning rates."""

    def __init__(self, recipe: Recipe, pixels: np.ndarray, labels: np.ndarray, steps: int) -> None:
        self.recipe, self.steps = recipe, steps
        size = recipe.batch_size
        count = min(steps * size - size // 2, len(labels))
        self.pixels, self.labels = pixels[:count], labels[:count].astype(np.int64)
        self.batches = epoch_batches(count, size, recipe.seed, epoch=1)[:steps]
        self.rates = schedules.learning_rates(
            recipe.schedule, recipe.learning_rate, 0, len(self.batches), len(self.batches)
        )
        self.images = datasets.scale(self.pixels, recipe.dtype)
        self.training = min(4 * size + (size + 1) // 2, count)
        self.training_batches = [
            batch
            for epoch in (1, 2)
            for batch in epoch_batches(self.training, size, recipe.seed, epoch)
        ]

    def steep(self, images: np.ndarray, weights: Weights) -> Weights:
        """The weights with the last layer so large that some logits of the batch are GAP apart."""
        rows, y = images[self.batches[0]].astype(float), self.labels[self.batches[0]]
        logits = Reference(self.recipe).forward(rows, in_float64(weights))[0][-1]
        gap = (logits.max(axis=1) - logits[np.arange(len(y)), y]).max()
        last = dense_names(len(self.recipe.hidden))
        factor = GAP / gap if gap else 1.0
        return {
            name: (W * factor if name in last else W).astype(W.dtype) for name, W in weights.items()
        }
