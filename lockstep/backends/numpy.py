"""The network by hand, `neural_networks.py`, behind the contract."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import neural_networks

from ..backend import Backend, Running, Step, optimizer_by_hand
from ..recipe import Weights


class Network(Backend):
    """NumPy, forward and backward written out. It speaks the recipe's dialect."""

    @classmethod
    def devices(cls, dtype: str) -> Sequence[str]:
        return ("cpu",)

    @classmethod
    def version(cls) -> str:
        return f"NumPy {np.__version__}"

    def build(self) -> None:
        recipe = self.recipe
        self.dialect = recipe.dialect
        self.network = neural_networks.Network(
            recipe.sizes, recipe.activation, recipe.l2, recipe.dtype
        )
        self._reset_optimizer()

    def _reset_optimizer(self) -> None:
        self.optimizer = optimizer_by_hand(self.recipe, self.formulas)

    def _named(self, vector: np.ndarray) -> Weights:
        """Views of a vector shaped as theta, one for each weight."""
        return self.recipe.named(*self.network.views(vector))

    def _read_weights(self) -> Weights:
        return {name: view.copy() for name, view in self._named(self.network.theta).items()}

    def _write_weights(self, weights: Weights) -> None:
        for name, view in self._named(self.network.theta).items():
            view[...] = weights[name]

    def _count_updates(self) -> int:
        return self.optimizer.t

    def _read_memory(self, slot: str) -> Weights:
        return {n: view.copy() for n, view in self._named(self.optimizer.memory[slot]).items()}

    def _write_memory(self, updates: int, memory: dict[str, Weights]) -> None:
        self._reset_optimizer()
        self.optimizer.t = updates
        for slot, weights in memory.items():
            for name, view in self._named(self.optimizer.remember(slot, self.network)).items():
                view[...] = weights[name]

    def forward(self, images: np.ndarray) -> np.ndarray:
        return self.network.forward(self.scaled(images))

    def step(
        self, images: np.ndarray, labels: np.ndarray, learning_rate: float | None = None
    ) -> Step:
        self.optimizer.learning_rate = float(self.rates(1, learning_rate)[0])
        logits, loss = self.network.step(self.scaled(images), labels, self.optimizer)
        gradients = {n: view.copy() for n, view in self._named(self.network.gradient).items()}
        return Step(logits, loss, gradients, self.weights)

    def train_epoch(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batches: Sequence[np.ndarray],
        learning_rates: np.ndarray | None = None,
    ) -> Running:
        rates = self.rates(len(batches), learning_rates)
        losses, correct = np.empty(len(batches)), np.empty(len(batches), np.int64)
        for i, batch in enumerate(batches):
            self.optimizer.learning_rate = float(rates[i])
            y = labels[batch]
            logits, losses[i] = self.network.step(self.scaled(images[batch]), y, self.optimizer)
            correct[i] = np.count_nonzero(logits.argmax(axis=1) == y)
        return Running(losses, correct)
