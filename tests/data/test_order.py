"""The order in which images are seen."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lockstep.data.order import OrderHash, epoch_batches, padded_runs


@given(st.integers(1, 400), st.integers(1, 70), st.integers(0, 9), st.integers(1, 5))
def test_an_epoch_shows_every_example_once(count, size, seed, epoch):
    order = epoch_batches(count, size, seed, epoch)
    assert sorted(np.concatenate(order).tolist()) == list(range(count))
    assert all(len(batch) == size for batch in order[:-1]) and 1 <= len(order[-1]) <= size


def test_seed_and_epoch_decide_the_order_alone():
    def order(seed, epoch):
        return np.concatenate(epoch_batches(100, 32, seed, epoch)).tolist()

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2) and order(0, 1) != order(1, 1)


@given(st.integers(1, 400), st.integers(1, 70), st.integers(1, 12))
def test_padded_runs_hold_every_batch_and_rate_in_order(count, size, length):
    order = epoch_batches(count, size, 0, 1) * 2  # the smaller batch stands in the middle
    rates = np.arange(1.0, len(order) + 1)
    found, found_rates = [], []
    for indices, padded, used in padded_runs(order, rates, length):
        assert len(indices) == len(padded) == length and 1 <= used <= length
        assert not indices[used:].any() and not padded[used:].any()
        found += list(indices[:used])
        found_rates += list(padded[:used])
    assert all(np.array_equal(a, b) for a, b in zip(found, order, strict=True))
    assert found_rates == rates.tolist()


def test_the_hash_knows_order_and_batch_boundaries():
    def digest(sizes, order=range(6)):
        order_hash = OrderHash()
        order_hash.add(np.split(np.array(order), np.cumsum(sizes)[:-1]))
        return order_hash.hexdigest()

    assert digest([4, 2]) == digest([4, 2])
    assert digest([4, 2]) != digest([3, 3])
    assert digest([4, 2], [1, 0, 2, 3, 4, 5]) != digest([4, 2])
