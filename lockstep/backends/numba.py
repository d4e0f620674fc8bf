"""The network by hand, compiled: `kernels.py` behind the contract."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

from ..by_hand.arrays import aligned_zeros
from ..data.datasets import scale
from ..errors import LockstepError
from ..layouts import Weights, dense_names
from . import kernels
from .cache import Kept
from .contract import Backend, Running, Step, optimizer_by_hand, optimizer_slots

FEWEST_UNITS = 16
"""Of each hidden layer that are worth a thread: a cache line of float32."""
DENSE = 0.5
"""The share of lit inputs from which on it is faster to compute with all of them."""
TOGETHER = 128
"""Examples that are computed together when only their logits are asked for."""


class Network(Backend):
    """Numba, forward and backward written out. It speaks the recipe's dialect."""

    cores: int = numba.config.NUMBA_NUM_THREADS  # `get_num_threads()` starts Numba's own pool
    """How many threads to use at most; NUMBA_NUM_THREADS sets it."""

    @classmethod
    def devices(cls, dtype: str) -> Sequence[str]:
        return ("cpu",)

    @classmethod
    def version(cls) -> str:
        return f"Numba {numba.__version__}"

    @property
    def notes(self) -> str:
        threads = f"{len(self.shards)} thread{'s' if len(self.shards) > 1 else ''}"
        if self.lit is None:
            return threads
        if self.lit > DENSE:
            return f"{threads}, all inputs computed, because more than {DENSE:.0%} are not 0"
        return f"{threads}, computing only the {self.lit:.0%} of inputs that are not 0"

    # --- Memory: each thread's shard of the network, and workspaces to compute in ---

    def build(self) -> None:
        recipe = self.recipe
        self.dialect = recipe.dialect
        worth = min(recipe.hidden, default=1) // FEWEST_UNITS
        threads = max(1, min(self.cores, worth))
        self.shards = [self._shard(me, threads) for me in range(threads)]
        self.pool = ThreadPoolExecutor(threads)
        self._furnish(recipe.batch_size)
        self.resident = Kept(self._images)
        self.lit: float | None = None  # of the training images
        self._reset_optimizer()

    def _shard(self, me: int, threads: int) -> kernels.Shard:
        """The units that are this thread's, and zeros for all that it will know of them."""
        recipe = self.recipe
        bounds = [_bounds(units, threads) for units in recipe.hidden]
        bounds.append([0] + [recipe.classes] * threads)  # thread 0 owns the logits
        first, last = (np.array([bound[me + k] for bound in bounds]) for k in (0, 1))
        widths = [self._padded(units) for units in last - first]
        sizes = [recipe.inputs * widths[0]]
        sizes += [recipe.sizes[k + 1] * widths[k - 1] for k in range(1, len(widths))]
        ends = np.cumsum([0, *(n for pair in zip(sizes, widths, strict=True) for n in pair)])
        slots = len(optimizer_slots(recipe))
        vectors = [aligned_zeros(int(ends[-1]) * (k < 2 + slots), recipe.dtype) for k in range(4)]
        return kernels.Shard(me, first, last, ends[:-1:2].copy(), ends[1::2].copy(), *vectors)

    def _padded(self, units: int) -> int:
        lanes = kernels.LINE // np.dtype(self.recipe.dtype).itemsize
        return -(-int(units) // lanes) * lanes

    def _furnish(self, capacity: int) -> None:
        """Make place for batches of up to `capacity` examples."""
        recipe, dtype, threads = self.recipe, self.recipe.dtype, len(self.shards)
        self.capacity = capacity
        ends = capacity * np.cumsum([0, 0, *recipe.sizes[2:]])  # nothing for the first layer
        self.shared = kernels.Shared(
            arrived=aligned_zeros(threads * 8, "int64"),
            sums=aligned_zeros(2 * threads * ends[-1], dtype).reshape(2, threads, -1),
            sums_at=ends[:-1].copy(),
            dZ=aligned_zeros(ends[-1], dtype),
        )
        self.workspaces = []
        for shard in self.shards:
            widths = [self._padded(units) for units in shard.last - shard.first]
            A_at = capacity * np.cumsum([0, *widths])
            vectors = (A_at[-1], capacity * max(widths), capacity * recipe.classes)
            A, D, logits = (aligned_zeros(size, dtype) for size in vectors)
            X = np.empty(0, dtype)
            self.workspaces.append(kernels.Workspace(A, A_at[:-1].copy(), D, logits, X))

    # --- Weights and the optimizer's memory, in and out ---

    def _views(self, field: str) -> Iterator[tuple[str, tuple[slice, ...], np.ndarray]]:
        """For each part and weight: its name, which of it is the part's, and a view of that."""
        for shard in self.shards:
            vector, units = getattr(shard, field), shard.last - shard.first
            mine = [slice(*ends) for ends in zip(shard.first, shard.last, strict=True)]
            for layer, (W, b) in enumerate(zip(shard.W_at, shard.b_at, strict=True)):
                weight, bias = dense_names(layer)
                if layer == 0:
                    for columns, view in self._blocks(vector[W:b], shard):
                        yield weight, (slice(None), columns), view
                else:  # transposed: (units, width)
                    matrix = vector[W:b].reshape(self.recipe.sizes[layer + 1], -1)
                    view = matrix[:, : units[layer - 1]].T
                    yield weight, (mine[layer - 1], slice(None)), view
                yield bias, (mine[layer],), vector[b : b + units[layer]]

    def _blocks(self, W: np.ndarray, shard: kernels.Shard) -> Iterator[tuple[slice, np.ndarray]]:
        """For each block of columns of a part's first layer: which they are, and a view of them."""
        inputs, k = self.recipe.inputs, 0
        block, line = kernels.BLOCK // W.itemsize, kernels.LINE // W.itemsize
        while k * inputs < len(W):
            lanes = block if (k + block) * inputs <= len(W) else line
            first = shard.first[0] + k
            columns = slice(first, min(first + lanes, shard.last[0]))
            matrix = W[k * inputs : (k + lanes) * inputs].reshape(inputs, lanes)
            yield columns, matrix[:, : columns.stop - first]
            k += lanes

    def _gather(self, field: str) -> Weights:
        """A copy of what all parts have under this name: "theta", "gradient", "memory1", …"""
        whole = {n: np.empty(shape, self.recipe.dtype) for n, shape in self.recipe.shapes.items()}
        for name, share, view in self._views(field):
            whole[name][share] = view
        return whole

    def _scatter(self, field: str, whole: Weights) -> None:
        for name, share, view in self._views(field):
            view[...] = whole[name][share]

    def _read_weights(self) -> Weights:
        return self._gather("theta")

    def _write_weights(self, weights: Weights) -> None:
        self._scatter("theta", weights)

    def _reset_optimizer(self) -> None:
        self.optimizer: Any = optimizer_by_hand(self.recipe, self.formulas)
        for shard in self.shards:
            shard.memory1[:] = shard.memory2[:] = 0

    def _count_updates(self) -> int:
        return self.optimizer.t

    def _field(self, slot: str) -> str:
        """What the parts call the optimizer's first or second memory."""
        return f"memory{optimizer_slots(self.recipe).index(slot) + 1}"

    def _read_memory(self, slot: str) -> Weights:
        return self._gather(self._field(slot))

    def _write_memory(self, updates: int, memory: dict[str, Weights]) -> None:
        self._reset_optimizer()
        self.optimizer.t = updates
        for slot, weights in memory.items():
            self._scatter(self._field(slot), weights)

    # --- Computing ---

    def forward(self, images: np.ndarray) -> np.ndarray:
        starts = range(0, len(images), TOGETHER)
        batches = [np.arange(s, min(s + TOGETHER, len(images))) for s in starts]
        pixels, labels = self._images(images), np.zeros(len(images), np.int64)
        return self._run(pixels, labels, batches, np.empty((0, 3)), logits=True).logits

    def step(
        self, images: np.ndarray, labels: np.ndarray, learning_rate: float | None = None
    ) -> Step:
        pixels, batch = self._images(images), [np.arange(len(images))]
        numbers = self._numbers(self.rates(1, learning_rate))
        found = self._run(pixels, labels, batch, numbers, logits=True, keep=True)
        gradients = self._gather("gradient")
        for shard in self.shards:
            shard.gradient[:] = 0
        return Step(found.logits, float(found.losses[0]), gradients, self.weights)

    def train_epoch(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batches: Sequence[np.ndarray],
        learning_rates: np.ndarray | None = None,
    ) -> Running:
        """All threads go through all batches in compiled code."""
        pixels = self.resident.of(images)
        self.lit = 1.0 if len(pixels.dense) else len(pixels.values) / images.size
        numbers = self._numbers(self.rates(len(batches), learning_rates))
        found = self._run(pixels, labels, batches, numbers)
        return Running(found.losses, found.correct)

    def resample(self, images: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """Compiled, each thread some of the images; the same numbers."""
        out, side = np.empty_like(images), math.isqrt(images.shape[1])
        bounds = np.linspace(0, len(images), len(self.shards) + 1).astype(int)

        def work(first: int, last: int) -> None:
            kernels.resample(images, moves, side, first, last, out)

        list(self.pool.map(work, bounds[:-1], bounds[1:]))
        return out

    def _run(
        self,
        images: kernels.Images,
        labels: np.ndarray,
        batches: Sequence[np.ndarray],
        numbers: np.ndarray,
        logits: bool = False,
        keep: bool = False,
    ) -> kernels.Result:
        """Every thread does its part of every batch; those without numbers learn nothing."""
        order, ends = np.concatenate(batches), np.cumsum([0, *map(len, batches)])
        self._check(images, labels, order, ends)
        plan = kernels.Plan(labels.astype(np.int64), order.astype(np.int64), ends,
                            numbers.astype(self.recipe.dtype), keep)  # fmt: skip
        steps, classes = len(batches), self.recipe.classes
        found = kernels.Result(
            losses=np.zeros(steps),
            squares=np.zeros((len(self.shards), steps)),
            correct=np.zeros(steps, np.int64),
            logits=np.empty(len(order) * classes if logits else 0, self.recipe.dtype),
        )
        self._seat(images, int(np.diff(ends).max()))
        net = self._net()

        def work(shard: kernels.Shard, workspace: kernels.Workspace) -> None:
            kernels.train(net, shard, workspace, self.shared, images, plan, found)

        with kernels.compiling(self._tell_of_compilation):
            list(self.pool.map(work, self.shards, self.workspaces))
        self.optimizer.t += len(numbers)
        found.losses[:] += self.recipe.l2 / 2 * found.squares.sum(axis=0)
        return found._replace(logits=found.logits.reshape(-1, classes))

    def _tell_of_compilation(self) -> None:
        what = f"compiling the {self.recipe.dtype} kernels, which takes ten seconds the first time"
        self.on_event({"event": "compiling", "words": what})

    def _seat(self, images: kernels.Images, most: int) -> None:
        """Workspaces that are large enough, with place for whole images if those are used."""
        if most > self.capacity:
            self._furnish(most)
        if len(images.dense) and not len(self.workspaces[0].X):
            size, dtype = self.capacity * self.recipe.inputs, self.recipe.dtype
            self.workspaces = [
                workspace._replace(X=np.empty(size, dtype)) for workspace in self.workspaces
            ]

    def _check(
        self, images: kernels.Images, labels: np.ndarray, order: np.ndarray, ends: np.ndarray
    ) -> None:
        """Compiled code does not look where it reads, so we do."""
        count, classes = len(images.starts) - 1, self.recipe.classes
        if not (np.diff(ends) > 0).all():
            raise LockstepError("An empty batch has no mean loss.")
        if order.min() < 0 or order.max() >= count:
            raise LockstepError(f"The batches hold indices beyond the {count} images.")
        if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
            raise LockstepError(f"The labels must be integers ({count},), not {labels.shape}.")
        if labels.min() < 0 or labels.max() >= classes:
            raise LockstepError(f"The labels must be from 0 to {classes - 1}.")

    def _net(self) -> kernels.Net:
        """The recipe and the optimizer's constants as the kernels take them."""
        recipe, by_hand = self.recipe, self.optimizer
        constants: dict[str, Callable[[], tuple[float, float]]] = {
            "velocity": lambda: (by_hand.momentum, 0),
            "v": lambda: (1 - by_hand.rho, 0),
            "m": lambda: (1 - by_hand.beta1, 1 - by_hand.beta2),
        }
        slots = optimizer_slots(recipe)
        return kernels.Net(
            sizes=np.array(recipe.sizes),
            activation=kernels.ACTIVATIONS[recipe.activation],
            optimizer=kernels.OPTIMIZERS[recipe.optimizer],
            keras=self.dialect == "keras",
            nesterov=recipe.optimizer == "nesterov",
            l2=recipe.l2,
            constants=np.array(constants[slots[0]]() if slots else (0, 0), recipe.dtype),
        )

    def _numbers(self, rates: np.ndarray) -> np.ndarray:
        """Rate, epsilon and shrinking factor of the next updates, (count, 3).

        Those of Adam as in `by_hand.optimizers.Adam.move`, computed in float64.
        """
        recipe, by_hand = self.recipe, self.optimizer
        t = by_hand.t + np.arange(1, len(rates) + 1)
        numbers = np.column_stack([rates, np.full(len(rates), recipe.epsilon), np.ones(len(rates))])
        if "m" in optimizer_slots(recipe):
            c1, c2 = 1 - by_hand.correction1**t, 1 - by_hand.correction2**t
            numbers[:, 0] *= np.sqrt(c2) / c1
            if by_hand.dialect == "torch":
                numbers[:, 1] *= np.sqrt(c2)
            numbers[:, 2] -= rates * by_hand.weight_decay
        return numbers

    def _images(self, images: np.ndarray) -> kernels.Images:
        """The lit pixels, if most are dark; else the images as they are."""
        dtype, inputs = self.recipe.dtype, self.recipe.inputs
        pixels = images.dtype == np.uint8
        images = np.require(images, np.uint8 if pixels else dtype, ["C", "W"])
        if images.ndim != 2 or images.shape[1] != inputs or not len(images):
            raise LockstepError(f"The images have shape {images.shape}; needed: (N, {inputs}).")
        if not (pixels or np.isfinite(images.sum())):
            raise LockstepError("The images hold NaN or infinity.")
        lit = int(np.count_nonzero(images))
        if lit > DENSE * images.size or inputs > np.iinfo(np.uint16).max:
            lit, dense = 0, self.scaled(images).ravel()
        else:
            dense = np.empty(0, dtype)
        starts = np.zeros(len(images) + 1, np.int64)
        values, columns = np.empty(lit, images.dtype), np.empty(lit, np.uint16)
        if not len(dense):
            kernels.keep_lit(images.ravel(), inputs, values, columns, starts)
        return kernels.Images(scale(values, dtype) if pixels else values, columns, starts, dense)


def _bounds(units: int, threads: int) -> list[int]:
    """Where each thread's units begin, and the end: whole cache lines of float32, if possible."""
    lines = units / FEWEST_UNITS
    return [*(round(lines * k / threads) * FEWEST_UNITS for k in range(threads)), units]
