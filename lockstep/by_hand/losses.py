"""Softmax, cross-entropy, and the derivative of the two together."""

from __future__ import annotations

import numpy as np

from .arrays import Array


def log_softmax(Z: Array) -> Array:
    """Logarithm of the softmax of each row; Z and result (N, classes).

    The row's maximum is taken out first, so the largest exponent is exp(0): logits of ±10,000
    overflow nothing (Goodfellow et al., Deep Learning, section 4.1).
    """
    Z = Z - Z.max(axis=1, keepdims=True)
    return Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))


def softmax(Z: Array) -> Array:
    """Turn each row of logits into probabilities that sum to 1; Z and result (N, classes).

    Here too the row's maximum is taken out first.
    """
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    return P


def cross_entropies(Z: Array, y: Array) -> Array:
    """-log P[label] of each example (N,), in nats; logits Z (N, classes), labels y (N,)."""
    return -log_softmax(Z)[np.arange(len(y)), y]


def cross_entropy(Z: Array, y: Array) -> float:
    """Mean of `cross_entropies` over the batch."""
    return float(cross_entropies(Z, y).mean())


def cross_entropy_derivative(Z: Array, y: Array) -> Array:
    """dZ = (softmax(Z) - Y) / N, where Y is y one-hot; result (N, classes).

    Softmax and logarithm cancel to this difference (Bishop, PRML, equation 4.109). The 1/N is the
    mean over the batch: without it every gradient below is N times too large.
    """
    Y = y[:, np.newaxis] == np.arange(Z.shape[1])  # one-hot: true where the label is
    dZ = softmax(Z)
    dZ -= Y
    dZ /= len(y)
    return dZ
