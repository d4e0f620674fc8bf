"""What a program chooses, and what each framework's usual program chooses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ..backends.contract import Formulas
from ..recipe import Recipe


@dataclass(frozen=True)
class Choices:
    """The choices that two programs for one network can make differently."""

    weights: str
    """The backend whose initial weights it starts from, as that framework draws them."""
    biases: str
    """The backend whose initial biases it starts from."""
    order: str
    """The backend whose shuffled order it sees the images in."""
    loss: str
    """A loss form of `Formulas`."""
    epsilon: float
    """Adam's."""
    place: str
    """Where Adam adds it: `Formulas.epsilon`."""
    betas: str
    """The betas of Adam's bias corrections: `Formulas.betas`."""
    tf32: bool
    """On a CUDA device; elsewhere it means nothing."""
    metric: str
    """The training accuracy that it reports: "running", the mean while the weights move, or
    "evaluated", with the weights at the end."""
    dtype: str

    @property
    def formulas(self) -> Formulas:
        """What the backend has to be told."""
        return Formulas(self.loss, self.place, self.betas, self.tf32)

    def recipe(self, recipe: Recipe) -> Recipe:
        """The recipe with this program's numbers."""
        return dataclasses.replace(recipe, epsilon=self.epsilon, dtype=self.dtype)


def _program(backend: str, *choices: Any) -> Choices:
    return Choices(backend, backend, backend, *choices)


AS_EVERYONE_WRITES_IT = {
    # its weights, biases and order; then: loss, epsilon, place, betas, tf32, metric, dtype
    "numpy": _program("numpy", "logits", 1e-8, "outside", "exact", False, "evaluated", "float32"),
    "torch": _program("torch", "logits", 1e-8, "outside", "exact", False, "evaluated", "float32"),
    "tensorflow": _program(
        "tensorflow", "softmax", 1e-7, "hat", "float32", True, "running", "float32"
    ),
}
"""Each framework's own defaults, in the program that its tutorials begin with."""
