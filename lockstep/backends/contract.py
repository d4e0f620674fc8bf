"""The contract that every framework's network keeps."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from ..by_hand import optimizers
from ..by_hand.optimizers import as_in_tensorflow
from ..data import distortions
from ..data.datasets import scale
from ..data.order import epoch_batches
from ..errors import LockstepError, one_of
from ..layouts import Weights, check_weights
from ..recipe import Recipe
from ..runs.weights import load_weights, save_weights

DEVICES = ("cpu", "cuda", "mps")


class Step(NamedTuple):
    """What one update computes, in the order in which it is computed."""

    logits: np.ndarray
    """(N, classes), before the update."""
    loss: float
    """What is minimised, over this batch, before the update."""
    gradients: Weights
    """Derivatives of the loss, named and shaped as the weights."""
    weights: Weights
    """The weights after the update."""


class Running(NamedTuple):
    """What training sees as it goes, batch by batch, each before its own update."""

    losses: np.ndarray
    """(batches,): what is minimised."""
    correct: np.ndarray
    """(batches,) int64: how many examples of the batch were answered right."""


class Operation(NamedTuple):
    """One node of a framework's graph of the forward pass."""

    name: str
    """Unique in the graph; slashes put it into groups."""
    kind: str
    """What the framework calls what it computes, e.g. `MatMul`, `dot_general`, `Linear`."""
    inputs: tuple[str, ...]
    """The names of the nodes whose results it takes."""
    shape: tuple[int, ...]
    """Of its result."""


class Formulas(NamedTuple):
    """How a program writes what frameworks write in several ways, Adam and the loss.

    A backend without them writes as its framework does; with them it can imitate another, so that
    `explain` can take the differences between two programs away one by one.
    """

    loss: str
    """"logits" goes into the loss; or "softmax": a softmax layer ends the network, and the loss
    takes the logarithm of probabilities; or "clipped": likewise, of probabilities that are first
    clipped to CLIPPED, and then normalised again, as Keras does when it only has probabilities."""
    epsilon: str
    """Where Adam adds epsilon: "outside", as PyTorch, or "hat", as Keras (see
    `by_hand.optimizers.Adam`)."""
    betas: str
    """The betas of Adam's bias corrections: "exact", or "float32", rounded as Keras' are."""
    tf32: bool
    """Whether float32 matrix products on a CUDA device round their factors to TF32 (10 bits)."""

    def correction_betas(self, recipe: Recipe) -> tuple[float, float]:
        """The two betas with which the bias corrections 1 - βᵗ are computed."""
        if self.betas == "exact":
            return recipe.beta1, recipe.beta2
        return as_in_tensorflow(recipe.beta1), as_in_tensorflow(recipe.beta2)


CLIPPED = (1e-7, 1 - 1e-7)
"""The bounds of a probability whose logarithm Keras takes: `keras.config.epsilon()`."""


class Backend(ABC):
    """One framework's network. It draws nothing at random: weights and batches come in.

    Images are (N, inputs): pixels as a dataset has them, uint8, which `datasets.scale` has yet to
    scale, or numbers in the recipe's dtype, which are taken as they are. Labels are (N,) integers.
    Every array that comes out is NumPy's, in the recipe's dtype.
    """

    dialect: str
    """How its optimizers are written, one of `recipe.DIALECTS` (`by_hand.optimizers.Adam`)."""

    tutorial: str = ""
    """What trains in `train_epoch`, where that is what the framework's tutorials write, such as
    `DataLoader`; "" where it is the fast way."""

    def __init__(
        self,
        recipe: Recipe,
        weights: Weights,
        device: str = "auto",
        formulas: Formulas | None = None,
    ) -> None:
        """With `formulas` (for Adam alone) they are used instead of the framework's own."""
        self.recipe = recipe
        self.formulas = formulas
        self.on_event: Callable[[dict[str, str]], None] = lambda event: None
        """Hears of what takes long at first: {"event": "compiling", "words": "compiling …"}."""
        self.device = self._choose(device)
        self.build()
        self.weights = weights

    def _choose(self, device: str) -> str:
        available = self.devices(self.recipe.dtype)
        if device == "auto":
            return available[0]
        one_of(DEVICES, device, "device")
        if device not in available:
            raise LockstepError(
                f"{self.version()} cannot compute in {self.recipe.dtype} on {device!r} here; "
                f"it can on: {', '.join(available)}."
            )
        return device

    def scaled(self, images: np.ndarray) -> np.ndarray:
        """Numbers in the recipe's dtype: of pixels, their share of 255."""
        return scale(images, self.recipe.dtype) if images.dtype == np.uint8 else images

    def rates(self, count: int, learning_rates: np.ndarray | float | None) -> np.ndarray:
        """The learning rates of `count` updates, (count,) float64; None means the recipe's."""
        rates = self.recipe.learning_rate if learning_rates is None else learning_rates
        return np.broadcast_to(np.asarray(rates, np.float64), (count,))

    @classmethod
    @abstractmethod
    def devices(cls, dtype: str) -> Sequence[str]:
        """Which of DEVICES this framework can use on this machine, the fastest first."""

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """The framework's name and version, e.g. `PyTorch 2.13.0`."""

    @classmethod
    def own_weights(cls, recipe: Recipe, seed: int) -> Weights:
        """What the framework starts from when nobody tells it how, in the recipe's dtype.

        A framework draws in float32, its default, and the numbers are then kept in that dtype, so
        that both precisions start alike. Here, as by hand.
        """
        return dataclasses.replace(recipe, seed=seed).initial_weights()

    @classmethod
    def own_batches(cls, count: int, batch_size: int, epochs: int, seed: int) -> list[np.ndarray]:
        """The batches of indices in the framework's own shuffled order; here, as by hand."""
        order = (epoch_batches(count, batch_size, seed, epoch) for epoch in range(1, epochs + 1))
        return [batch for epoch in order for batch in epoch]

    @property
    def notes(self) -> str:
        """What a reader of the results should know about how it computes; "" if nothing."""
        return ""

    @abstractmethod
    def build(self) -> None:
        """Make the framework's own model, loss and optimizer on `self.device`."""

    @property
    def weights(self) -> Weights:
        """A NumPy copy of the weights. Setting them clears the optimizer's memory."""
        return self._read_weights()

    @weights.setter
    def weights(self, weights: Weights) -> None:
        check_weights(weights, self.recipe.shapes)
        self._write_weights(weights)
        self.state = {}

    @abstractmethod
    def _read_weights(self) -> Weights: ...

    @abstractmethod
    def _write_weights(self, weights: Weights) -> None: ...

    @property
    def state(self) -> dict[str, np.ndarray]:
        """A copy of the optimizer's memory in the backend's dialect; {} before the first update.

        "updates" () int64, the number done, and per weight what `optimizer_slots` names:
        "dense0.weight.velocity" (momentum, nesterov), "dense0.weight.v" (rmsprop), or
        "dense0.weight.m" and "dense0.weight.v" (adam, adamw). {} clears it.
        """
        updates = self._count_updates()
        if not updates:
            return {}
        state = {"updates": np.array(updates)}
        for slot in optimizer_slots(self.recipe):
            state |= {f"{name}.{slot}": a for name, a in self._read_memory(slot).items()}
        return state

    @state.setter
    def state(self, state: dict[str, np.ndarray]) -> None:
        slots = optimizer_slots(self.recipe) if state else ()
        memory = {s: {name: state[f"{name}.{s}"] for name in self.recipe.shapes} for s in slots}
        self._write_memory(int(state.get("updates", 0)), memory)

    @abstractmethod
    def _count_updates(self) -> int: ...

    @abstractmethod
    def _read_memory(self, slot: str) -> Weights:
        """A copy of what the optimizer remembers of each weight under one of its names."""

    @abstractmethod
    def _write_memory(self, updates: int, memory: dict[str, Weights]) -> None:
        """Start the optimizer anew, as after so many updates; after none it remembers nothing."""

    @abstractmethod
    def forward(self, images: np.ndarray) -> np.ndarray:
        """Logits (N, classes); nothing is learned."""

    @abstractmethod
    def step(
        self, images: np.ndarray, labels: np.ndarray, learning_rate: float | None = None
    ) -> Step:
        """One update on one batch, everything read back; without a rate, at the recipe's."""

    @abstractmethod
    def train_epoch(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batches: Sequence[np.ndarray],
        learning_rates: np.ndarray | None = None,
    ) -> Running:
        """One update for each batch of indices, the framework's fast way.

        The same numbers as repeated `step`. The batches may be a part of an epoch; there is one
        learning rate (float64) for each, or None for the recipe's.

        A backend whose framework's tutorials train otherwise has a second class, `TutorialNetwork`,
        of which this is their way; it gets whole epochs.
        """

    def warm_up(
        self, images: np.ndarray, labels: np.ndarray, batches: Sequence[np.ndarray]
    ) -> None:
        """Pay for first calls (compilation, allocation) now. Weights and memory stay as they are.

        `batches` are such as `train_epoch` will get: the first, and the last, which may be smaller.
        """
        with self.restored():
            self.train_epoch(images, labels, [batches[0], batches[-1]])

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Whatever happens to weights and memory within the block, after it they are as before."""
        weights, state = self.weights, self.state
        try:
            yield
        finally:
            self.weights, self.state = weights, state

    def resample(self, images: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """`distortions.resample`, or a faster way to the same pixels."""
        return distortions.resample(images, moves)

    def graph(self, images: np.ndarray) -> list[Operation]:
        """The forward pass of these images as the framework itself has written it down.

        [] if it keeps no graph, as by hand. Nothing is learned, and nothing is compiled for it.
        """
        return []

    def save(self, path: Path) -> None:
        """Write the weights, with the recipe, as safetensors."""
        save_weights(path, self.weights, self.recipe)

    @classmethod
    def load(cls, path: Path, device: str = "auto") -> Self:
        """A network with the recipe and the weights of a file that any backend has saved."""
        weights, recipe = load_weights(path)
        return cls(recipe, weights, device)


def optimizer_slots(recipe: Recipe) -> tuple[str, ...]:
    """What the recipe's optimizer remembers for each weight, as the contract names it."""
    return optimizers.OPTIMIZERS[recipe.optimizer]().SLOTS


def optimizer_by_hand(recipe: Recipe, formulas: Formulas | None) -> optimizers.Optimizer:
    """The recipe's optimizer as the network by hand has it, with these formulas for Adam."""
    numbers: dict[str, Any] = dict(recipe.optimizer_numbers)
    if recipe.optimizer != "sgd":  # which everybody writes the same way
        numbers["dialect"] = recipe.dialect
    optimizer = optimizers.OPTIMIZERS[recipe.optimizer](**numbers)
    if formulas and isinstance(optimizer, optimizers.Adam):
        # By hand, softmax and logarithm cancel in the derivative: those two losses are one.
        one_of(("logits", "softmax"), formulas.loss, "loss by hand")
        optimizer.dialect = "torch" if formulas.epsilon == "outside" else "keras"
        optimizer.correction1, optimizer.correction2 = formulas.correction_betas(recipe)
    return optimizer
