"""Activations, each beside its derivative.

The derivatives take A = g(Z), what the forward pass has kept, rather than Z.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arrays import Array


def tanh(Z: Array) -> Array:
    """Hyperbolic tangent, into (-1, 1)."""
    return np.tanh(Z)


def tanh_derivative(A: Array) -> Array:
    """tanh'(Z) = 1 - tanh(Z)²."""
    return 1 - A * A


def relu(Z: Array) -> Array:
    """Rectified linear unit: what is positive passes, the rest becomes 0."""
    return np.maximum(Z, 0)


def relu_derivative(A: Array) -> Array:
    """relu'(Z) = 1 where Z > 0, else 0; at Z = 0 we take 0, as the frameworks do."""
    return A > 0


def sigmoid(Z: Array) -> Array:
    """Logistic function 1 / (1 + exp(-Z)), through tanh so that no exp can overflow."""
    return 0.5 * (1 + np.tanh(0.5 * Z))


def sigmoid_derivative(A: Array) -> Array:
    """sigmoid'(Z) = sigmoid(Z) (1 - sigmoid(Z))."""
    return A * (1 - A)


ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "tanh": (tanh, tanh_derivative),
    "relu": (relu, relu_derivative),
    "sigmoid": (sigmoid, sigmoid_derivative),
}
