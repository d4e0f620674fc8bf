"""The network by hand, `lockstep/by_hand/`, behind the contract."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..by_hand import network as by_hand_network
from ..by_hand.losses import cross_entropies
from ..by_hand.step import step
from ..layouts import Weights
from .contract import Backend, Running, Step, optimizer_by_hand


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
        self.network = by_hand_network.Network(
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
        self.optimizer.prepare(self.network)
        for slot, weights in memory.items():
            for name, view in self._named(self.optimizer.memory[slot]).items():
                view[...] = weights[name]

    def forward(self, images: np.ndarray) -> np.ndarray:
        return self.network.forward(self.scaled(images))

    def step(
        self, images: np.ndarray, labels: np.ndarray, learning_rate: float | None = None
    ) -> Step:
        self.optimizer.learning_rate = float(self.rates(1, learning_rate)[0])
        logits, loss = step(self.network, self.optimizer, self.scaled(images), labels)
        gradients = {n: view.copy() for n, view in self._named(self.network.gradient).items()}
        return Step(logits, loss, gradients, self.weights)

    def train_epoch(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batches: Sequence[np.ndarray],
        learning_rates: np.ndarray | None = None,
    ) -> Running:
        """The losses come after the loop: none is needed to learn, and all at once are quicker."""
        network, optimizer = self.network, self.optimizer
        sizes = np.array([len(batch) for batch in batches])
        ends = np.cumsum(sizes)
        logits = np.empty((ends[-1], self.recipe.classes), self.recipe.dtype)
        penalties = np.empty(len(batches))
        rates = self.rates(len(batches), learning_rates)
        for i, (batch, end) in enumerate(zip(batches, ends, strict=True)):
            X, y = self.scaled(images.take(batch, axis=0)), labels[batch]
            logits[end - len(batch) : end] = Z = network.forward(X)
            network.backward(Z, y)
            penalties[i] = network.penalty()
            optimizer.learning_rate = float(rates[i])
            optimizer.update(network)

        y, starts = labels[np.concatenate(batches)], ends - sizes
        losses = cross_entropies(logits, y).astype(np.float64)
        right = (logits.argmax(axis=1) == y).astype(np.int64)
        means = np.add.reduceat(losses, starts) / sizes
        return Running(means + penalties, np.add.reduceat(right, starts))
