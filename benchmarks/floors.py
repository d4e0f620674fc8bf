"""What no trainer of dense matrices can do without: the products, and the optimizer's memory.

Both are measured at their best: no loss, no activation, no batch is gathered, nothing is learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

SIZES = (784, 128, 10)
"""Of the network in the race."""
LINE = 64
"""Bytes of a cache line."""


def products_of_an_epoch(batch_size: int, images: np.ndarray, labels: np.ndarray) -> tuple:
    """BLAS alone, in NumPy, on all the threads it takes."""
    steps = -(-len(images) // batch_size)
    run = products(SIZES, batch_size)
    return (lambda seed: run(steps)), None


def traffic_of_an_epoch(batch_size: int, images: np.ndarray, labels: np.ndarray) -> tuple:
    """θ, g, m, v read and θ, m, v written, once in a step, by compiled loops on two threads."""
    steps = -(-len(images) // batch_size)
    run = traffic(SIZES, threads=2)
    return (lambda seed: run(steps)), None


def products(sizes: Sequence[int], batch_size: int) -> Callable[[int], None]:
    """The matrix products of one update, as often as asked: three a layer, two in the first."""
    rng = np.random.default_rng(0)

    def matrix(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, np.float32)

    layers = [
        (matrix(batch_size, i), matrix(i, o), matrix(batch_size, o)) for i, o in pairwise(sizes)
    ]
    results = [tuple(np.empty_like(a) for a in layer) for layer in layers]

    def run(steps: int) -> None:
        for _ in range(steps):
            for (A, W, _), (_, _, Z) in zip(layers, results, strict=True):
                np.matmul(A, W, out=Z)
            for k in reversed(range(len(layers))):
                (A, W, dZ), (dA, dW, _) = layers[k], results[k]
                np.matmul(A.T, dZ, out=dW)
                if k:
                    np.matmul(dZ, W.T, out=dA)

    return run


def traffic(sizes: Sequence[int], threads: int) -> Callable[[int], None]:
    """The memory that Adam passes over in one update, as often as asked; every thread its share.

    A thread goes on to its next update without waiting for the others.
    """
    count = sum((i + 1) * o for i, o in pairwise(sizes))
    share = -(-count // threads) + LINE
    parts = [tuple(np.zeros(share, np.float32) for _ in range(4)) for _ in range(threads)]
    pool = ThreadPoolExecutor(threads)
    update = _compiled()

    def run(steps: int) -> None:
        list(pool.map(lambda part: update(steps, *part), parts))

    return run


def _compiled() -> Callable:
    import numba

    @numba.njit("void(int64, float32[::1], float32[::1], float32[::1], float32[::1])", nogil=True)
    def update(steps, theta, g, m, v):
        for _ in range(steps):
            for i in range(len(theta)):
                m[i] += g[i]
                v[i] += g[i]
                theta[i] += m[i] + v[i]

    return update
