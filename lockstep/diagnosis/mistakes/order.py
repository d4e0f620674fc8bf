"""Training in another order than the batches say."""

from __future__ import annotations

import numpy as np

from ...by_hand.arrays import Array


def orders(batches: list[Array], size: int) -> dict[str, tuple[str, list[Array]]]:
    """Name → sentence and batches of training in another order than the one given."""
    full = [batch for batch in batches if len(batch) == size]
    epochs = _epochs(batches)
    natural, backwards, repeated = [], [], []
    for epoch in epochs:
        count = sum(map(len, epoch))
        rows = np.sort(np.concatenate(epoch))
        natural += [rows[start : start + size] for start in range(0, count, size)]
        backwards += epoch[::-1]
        repeated += epochs[0]
    return {
        "last batch dropped": ("the last batch of an epoch, which is smaller, is dropped", full),
        "order ignored": (
            "the order differs: the images are taken as they lie in memory, not as the batches say",
            natural,
        ),
        "order reversed": (
            "the order differs: the batches are taken from last to first",
            backwards,
        ),
        "order repeated": (
            "the order differs: every epoch repeats the first one's batches",
            repeated,
        ),
    }


def _epochs(batches: list[Array]) -> list[list[Array]]:
    """Cut where an image comes again."""
    epochs: list[list[Array]] = []
    seen: set[int] = set()
    for batch in batches:
        if not epochs or seen & set(batch.tolist()):
            epochs.append([])
            seen = set()
        epochs[-1].append(batch)
        seen |= set(batch.tolist())
    return epochs
