"""Optimizers: each moves network.theta by network.gradient."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .arrays import Array, aligned_zeros
from .network import Network


class Optimizer:
    """Gradient descent: θ ← θ - lr·g. The others refine this one line.

    `memory` holds what an optimizer remembers between updates, each array shaped as theta, and
    `t` counts the updates done. The formulas treat every weight alike, whatever layer it is in,
    so they go over theta a block at a time: what is small enough stays in the processor's cache.
    """

    SLOTS: tuple[str, ...] = ()
    """The names in `memory`."""
    BLOCK = 1 << 17
    """Weights in a block."""

    def __init__(self, learning_rate: float = 0.1) -> None:
        self.learning_rate = learning_rate
        self.memory: dict[str, Array] = {}
        self.t = 0

    def prepare(self, network: Network) -> None:
        """Make the memory that `network` needs: zeros before the first update."""
        for name in self.SLOTS:
            if name not in self.memory:
                self.memory[name] = aligned_zeros(network.theta.size, network.theta.dtype)

    def update(self, network: Network) -> None:
        """Move the weights once, in place."""
        self.prepare(network)
        self.t += 1
        for start in range(0, network.theta.size, self.BLOCK):
            block = slice(start, start + self.BLOCK)
            memory = [self.memory[name][block] for name in self.SLOTS]
            self.move(network.theta[block], network.gradient[block], memory)
        if self.t % 64 == 0:
            for remembered in self.memory.values():
                forget_what_is_nearly_zero(remembered)

    def move(self, theta: Array, g: Array, memory: list[Array]) -> None:
        """Move these weights (n,) by their derivatives g and what is remembered of them."""
        theta -= self.learning_rate * g


def forget_what_is_nearly_zero(memory: Array) -> None:
    """Below about 1e-31 in float32, what an optimizer remembers becomes 0.

    The memory of a pixel that is rarely lit shrinks with every step until it is a subnormal number,
    with which processors compute more slowly, many times on some. The bound is as far above those
    as rounding is below 1, so once in a while is enough. (Its root, 3e-16, is nothing beside Adam's
    ε.)
    """
    kind = np.finfo(memory.dtype)
    memory[np.abs(memory) < kind.tiny / kind.eps] = 0


class Momentum(Optimizer):
    """A ball that rolls: it keeps the share μ of its velocity v (Polyak 1964).

    "torch"    v ← μv + g        θ ← θ - lr·v      with `nesterov`: θ ← θ - lr·(g + μv)
    "keras"    v ← μv - lr·g     θ ← θ + v         with `nesterov`: θ ← θ + μv - lr·g

    Nesterov's takes the slope where the ball is about to be (Sutskever et al. 2013). The two
    dialects walk the same path while lr is constant; when it is cut, Keras' ball keeps its speed.
    """

    SLOTS = ("velocity",)

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        nesterov: bool = False,
        dialect: str = "torch",
    ) -> None:
        super().__init__(learning_rate)
        self.momentum = as_in_tensorflow(momentum) if dialect == "keras" else momentum
        self.nesterov = nesterov
        self.dialect = dialect

    def move(self, theta: Array, g: Array, memory: list[Array]) -> None:
        (v,) = memory
        v *= self.momentum
        if self.dialect == "torch":
            v += g
            theta -= self.learning_rate * (g + self.momentum * v if self.nesterov else v)
        else:
            v -= self.learning_rate * g
            theta += self.momentum * v - self.learning_rate * g if self.nesterov else v


class RMSprop(Optimizer):
    """Each weight's step is divided by the size of its recent gradients (Hinton 2012, lecture 6e).

    v ← ρv + (1 - ρ)g²
    "torch"    θ ← θ - lr·g / (√v + ε)
    "keras"    θ ← θ - lr·g / √(v + ε)      ε under the root weighs far more where v is small
    """

    SLOTS = ("v",)

    def __init__(
        self,
        learning_rate: float = 1e-3,
        rho: float = 0.9,
        epsilon: float = 1e-8,
        dialect: str = "torch",
    ) -> None:
        super().__init__(learning_rate)
        self.rho, self.epsilon, self.dialect = rho, epsilon, dialect

    def move(self, theta: Array, g: Array, memory: list[Array]) -> None:
        (v,) = memory
        v *= self.rho
        v += (1 - self.rho) * (g * g)
        if self.dialect == "torch":
            theta -= self.learning_rate * g / (np.sqrt(v) + self.epsilon)
        else:
            theta -= self.learning_rate * g / np.sqrt(v + self.epsilon)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015): every weight has a step size of its own.

        m ← β₁m + (1 - β₁)g            the mean of recent gradients
        v ← β₂v + (1 - β₂)g²           the mean of their squares
        m̂ = m / c₁, v̂ = v / c₂         c = 1 - βᵗ: both start at 0 and are too small at first
        θ ← θ - lr · m̂ / (√v̂ + ε)

    Two dialects of the last line are in use. "torch" is the paper's Algorithm 1, above. "keras" is
    the variant at the end of the paper's section 2: θ ← θ - lr·√c₂/c₁ · m / (√v + ε), whose ε
    weighs 1/√c₂ times more (32 times, at the first step).

    `weight_decay` makes it AdamW (Loshchilov & Hutter 2019): weights, not biases, shrink by
    lr·weight_decay before the move, untouched by m and v.
    """

    SLOTS = ("m", "v")

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        dialect: str = "torch",
    ) -> None:
        super().__init__(learning_rate)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.correction1, self.correction2 = beta1, beta2  # the betas of c₁ and c₂
        self.weight_decay = weight_decay
        self.dialect = dialect
        if dialect == "keras":
            self.correction1, self.correction2 = as_in_tensorflow(beta1), as_in_tensorflow(beta2)
            self.weight_decay = as_in_tensorflow(weight_decay)

    def update(self, network: Network) -> None:
        if self.weight_decay:
            for W in network.W:
                W *= 1 - self.learning_rate * self.weight_decay
        super().update(network)

    def move(self, theta: Array, g: Array, memory: list[Array]) -> None:
        m, v = memory
        c1, c2 = 1 - self.correction1**self.t, 1 - self.correction2**self.t
        # Both dialects as one formula: √c₂ is taken out of the fraction, and ε follows or stays.
        rate = self.learning_rate * math.sqrt(c2) / c1
        epsilon = self.epsilon * math.sqrt(c2) if self.dialect == "torch" else self.epsilon

        # In place, in one scratch array: new arrays for every product would cost a third more.
        scratch = g - m
        scratch *= 1 - self.beta1
        m += scratch  # m + (1 - β₁)(g - m)
        np.multiply(g, g, out=scratch)
        scratch -= v
        scratch *= 1 - self.beta2
        v += scratch  # v + (1 - β₂)(g² - v)
        np.sqrt(v, out=scratch)
        scratch += epsilon
        np.divide(m, scratch, out=scratch)
        scratch *= rate
        theta -= scratch


def as_in_tensorflow(number: float) -> float:
    """The number as Keras on TensorFlow computes with it, whatever the network's precision.

    `tf.cast(0.999, tf.float64)` makes a float32 of the Python number first: 0.99900001287. In Keras
    3.15 that happens to Adam's betas in the bias corrections (not in the moments), to SGD's
    momentum and to AdamW's weight decay; not to epsilon, nor to the learning rate.
    """
    return float(np.float32(number))


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": Optimizer,
    "momentum": Momentum,
    "nesterov": lambda **numbers: Momentum(nesterov=True, **numbers),
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": Adam,
}
