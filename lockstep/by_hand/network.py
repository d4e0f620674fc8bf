"""The network: any number of dense layers, forward and backward."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from .activations import ACTIVATIONS
from .arrays import Array, aligned_zeros
from .initializers import INITIALIZATIONS
from .layers import dense, dense_derivatives
from .losses import cross_entropy, cross_entropy_derivative


class Network:
    """Dense layers of the given sizes, e.g. (784, 128, 10); the activation between, logits out.

    All weights and biases stand in one vector `theta`, all their derivatives in `gradient`; the
    matrices W[0], b[0], W[1], … and dW[0], db[0], … are views into the two. So the formulas below
    speak of matrices while an optimizer moves everything in one sweep over memory.
    (Python counts from 0: W[0] is the W1 of the formulas.)
    """

    def __init__(
        self,
        sizes: Iterable[int],
        activation: str = "tanh",
        l2: float = 0.0,
        dtype: str = "float32",
    ) -> None:
        self.sizes = tuple(sizes)
        self.g, self.g_derivative = ACTIVATIONS[activation]
        self.l2 = l2
        count = sum((i + 1) * o for i, o in pairwise(self.sizes))
        self.theta, self.gradient = aligned_zeros(count, dtype), aligned_zeros(count, dtype)
        self.W, self.b = self.views(self.theta)
        self.dW, self.db = self.views(self.gradient)

    def views(self, vector: Array) -> tuple[list[Array], list[Array]]:
        """Cut the vector into each layer's matrix (in, out) and bias (out,), copying nothing."""
        matrices, biases, end = [], [], 0
        for n_in, n_out in pairwise(self.sizes):
            start, middle, end = end, end + n_in * n_out, end + (n_in + 1) * n_out
            matrices.append(vector[start:middle].reshape(n_in, n_out))
            biases.append(vector[middle:end])
        return matrices, biases

    def initialize(self, scheme: str = "glorot", seed: int = 0) -> Network:
        """Draw every layer's weights; float32 and float64 start from the same drawn numbers."""
        rng = np.random.default_rng(seed)
        for W, b in zip(self.W, self.b, strict=True):
            W[...], b[...] = INITIALIZATIONS[scheme](rng, *W.shape)
        return self

    def forward(self, X: Array) -> Array:
        """Logits (N, classes) of a batch X (N, inputs); keeps X, A1, A2, … for `backward`."""
        A = self._checked(X)  # (N, inputs)
        self.A = [A]
        for W, b in zip(self.W[:-1], self.b[:-1], strict=True):
            A = self.g(dense(A, W, b))  # (N, out)
            self.A.append(A)
        return dense(A, self.W[-1], self.b[-1])  # logits: the softmax is in the loss

    def loss(self, Z: Array, y: Array) -> float:
        """What training minimises: cross-entropy of the logits, plus l2/2 · sum of W² if asked."""
        return cross_entropy(Z, y) + self.penalty()

    def penalty(self) -> float:
        """l2/2 · sum of W²; biases are free."""
        return self.l2 / 2 * sum(float(np.vdot(W, W)) for W in self.W) if self.l2 else 0.0

    def backward(self, Z: Array, y: Array) -> Array:
        """Fill dW and db with the loss's derivatives, from the last layer to the first.

        Z are the logits of the last `forward`, y the labels (N,). Returns `gradient`. The chain
        rule from layer to layer: Nielsen, Neural Networks and Deep Learning, BP1 to BP4.
        """
        dZ = cross_entropy_derivative(Z, self._checked_labels(y, len(Z)))  # (N, classes)
        for layer in reversed(range(len(self.W))):
            A, W = self.A[layer], self.W[layer]  # A is what this layer took in: (N, in)
            out = self.dW[layer], self.db[layer]
            # Nobody asks for the derivative by the pixels.
            dA, dW, _ = dense_derivatives(dZ, A, W, out, by_input=layer > 0)
            if self.l2:
                dW += self.l2 * W
            if dA is not None:
                dZ = dA * self.g_derivative(A)
        return self.gradient

    def _checked(self, X: Array) -> Array:
        X = np.asarray(X, self.theta.dtype)
        if X.ndim != 2 or X.shape[1] != self.sizes[0]:
            raise ValueError(f"X has shape {X.shape}; the first layer takes (N, {self.sizes[0]}).")
        if len(X) == 0:
            raise ValueError("X is an empty batch: there is no mean loss over no examples.")
        # NaN and infinity survive a sum of squares, which is quick; but large numbers overflow it.
        if not np.isfinite(np.vdot(X, X)) and not np.isfinite(X).all():
            raise ValueError("X holds NaN or infinity; clean the inputs before training.")
        return X

    def _checked_labels(self, y: Array, n: int) -> Array:
        y = np.asarray(y)
        if y.shape != (n,) or y.dtype.kind not in "iu":
            raise ValueError(f"y is {y.dtype} of shape {y.shape}; it must be integers ({n},).")
        if y.min() < 0 or y.max() >= self.sizes[-1]:
            bad = y[(y < 0) | (y >= self.sizes[-1])][0]
            raise ValueError(f"y holds the label {bad}; labels are 0 to {self.sizes[-1] - 1}.")
        return y
