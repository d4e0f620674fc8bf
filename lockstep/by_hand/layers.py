"""Layers, each as two pure functions: forward, and backward with the derivatives."""

from __future__ import annotations

import numpy as np

from .arrays import Array


def dense(A: Array, W: Array, b: Array) -> Array:
    """Z = A·W + b (N, out): every output sums over all inputs; A (N, in), W (in, out), b (out,).

    Nielsen, Neural Networks and Deep Learning, equation 25, a row for each example.
    """
    Z = A @ W  # (N, in)·(in, out) → (N, out)
    Z += b
    return Z


def dense_derivatives(
    dZ: Array,
    A: Array,
    W: Array,
    out: tuple[Array | None, Array | None] = (None, None),
    by_input: bool = True,
) -> tuple[Array | None, Array, Array]:
    """dA (N, in), dW (in, out) and db (out,), from dZ (N, out) and what `dense` took in.

    The chain rule in matrix form: Nielsen, BP2 to BP4. As in NumPy, dW and db are written into
    `out` if it is given. Without `by_input` dA is None and its product is not computed.
    """
    dW = np.matmul(A.T, dZ, out=out[0])  # (in, N)·(N, out) → (in, out)
    db = dZ.sum(axis=0, out=out[1])
    dA = dZ @ W.T if by_input else None  # (N, out)·(out, in) → (N, in)
    return dA, dW, db
