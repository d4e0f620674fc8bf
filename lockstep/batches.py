"""The order in which the training images are seen: one seed, the same for every backend."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np


def epoch_batches(count: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Indices (batch_size,) of each batch of one epoch, all `count` examples once, shuffled.

    The last batch is smaller where batch_size does not divide count; it is kept, everywhere.
    Epochs count from 1, and each has an order of its own that needs no earlier one.
    """
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]


def order_sha256(epochs: Iterable[list[np.ndarray]]) -> str:
    """Hash of the order of whole epochs, batch boundaries included."""
    digest = hashlib.sha256()
    for batches in epochs:
        for batch in batches:
            digest.update(len(batch).to_bytes(8, "little"))
            digest.update(batch.astype("<i8").tobytes())
    return digest.hexdigest()
