"""The order in which the training images are seen: one seed, the same for every backend."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np


def epoch_batches(count: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Indices (batch_size,) of each batch of one epoch, all `count` examples once, shuffled.

    The last batch is smaller where batch_size does not divide count; it is kept, everywhere.
    Epochs count from 1, and each has an order of its own that needs no earlier one.
    """
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]


def padded_runs(
    batches: Sequence[np.ndarray], rates: np.ndarray, length: int
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """The batches in order, as runs of one batch size and of one `length`, for compiled loops.

    Yields indices (length, batch size) int32, learning rates (length,), and how many of them are
    batches: the rest is zeros, so that a loop is compiled for each batch size and no count.
    """
    start = 0
    while start < len(batches):
        size, end = len(batches[start]), start + 1
        while end < min(len(batches), start + length) and len(batches[end]) == size:
            end += 1
        order, padded = np.zeros((length, size), np.int32), np.zeros(length)
        order[: end - start], padded[: end - start] = batches[start:end], rates[start:end]
        yield order, padded, end - start
        start = end


class OrderHash:
    """SHA-256 of the order in which examples were seen, batch boundaries included."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, batches: Iterable[np.ndarray]) -> None:
        """Take in the next batches of indices."""
        for batch in batches:
            self._digest.update(len(batch).to_bytes(8, "little"))
            self._digest.update(batch.astype("<i8").tobytes())

    def hexdigest(self) -> str:
        """The hash of all batches so far."""
        return self._digest.hexdigest()
