"""The gradient check: is the backward pass right? Finite differences tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from .arrays import Array
from .network import Network


def numerical_derivative(
    loss: Callable[[], float], theta: Array, i: int | tuple[int, ...], h: float = 1e-5
) -> float:
    """Slope of `loss` along theta[i] by central difference, (L(θ+h) - L(θ-h)) / 2h.

    The error shrinks with h², until rounding (about 1e-16 / h) takes over: in float64 the two meet
    at h = 1e-5, where either is about 1e-11. theta is put back as it was.
    """
    before = theta[i]
    theta[i] = before + h
    above = loss()
    theta[i] = before - h
    below = loss()
    theta[i] = before
    return (above - below) / (2 * h)


def compare_with_slopes(
    loss: Callable[[], float],
    tensors: Iterable[tuple[str, Array, Array]],
    samples: int,
    tolerance: float,
    seed: int,
) -> float:
    """Compare derivatives with `numerical_derivative`, on `samples` random entries of each tensor.

    `tensors` are (name, θ, dθ): `loss` must depend on θ, which is moved in place, and dθ is what
    somebody says its derivative is. Returns the largest difference, relative to the largest
    derivative of its tensor; raises ArithmeticError at the first that is above `tolerance`.
    """
    rng, worst = np.random.default_rng(seed), 0.0
    for name, theta, derivative in tensors:
        scale = max(float(np.abs(derivative).max()), np.finfo(float).tiny)
        for position in rng.choice(theta.size, min(samples, theta.size), replace=False):
            i = tuple(int(k) for k in np.unravel_index(position, theta.shape))
            slope = numerical_derivative(loss, theta, i)
            error = abs(derivative[i] - slope) / scale
            if not error <= tolerance:  # nor is NaN
                raise ArithmeticError(
                    f"{name} is wrong at {list(i)}: backward says {derivative[i]:.9g}, finite "
                    f"differences say {slope:.9g}."
                )
            worst = max(worst, error)
    return worst


def check_gradients(
    network: Network, X: Array, y: Array, samples: int = 20, tolerance: float = 1e-6, seed: int = 0
) -> float:
    """Compare `backward` with finite differences on `samples` random entries of every W and b.

    Returns the largest difference, relative to the largest derivative of its tensor. Raises
    ArithmeticError naming the first tensor that is off by more than `tolerance`. The network must
    be float64: in float32 rounding hides a wrong derivative.
    """
    if network.theta.dtype != np.float64:
        raise ValueError("A gradient check needs a float64 network: Network(..., dtype='float64').")

    def loss() -> float:
        return network.loss(network.forward(X), y)

    network.backward(network.forward(X), y)
    dW, db = network.views(network.gradient.copy())
    tensors = []
    for layer, (W, b) in enumerate(zip(network.W, network.b, strict=True)):
        tensors += [(f"dW{layer + 1}", W, dW[layer]), (f"db{layer + 1}", b, db[layer])]
    return compare_with_slopes(loss, tensors, samples, tolerance, seed)
