"""The network by hand in small lines, each a method: what a mistake is one changed line of.

`lockstep/by_hand/` is the reference and stays fast and whole. Here the same formulas are cut so
fine that a subclass can replace one of them and compute what somebody with that mistake computes
(`mistakes/`). A test holds the two together.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..by_hand import activations, losses, optimizers
from ..by_hand.arrays import Array
from ..layouts import Weights, dense_names
from ..proof.trace import Number, Numbers
from ..recipe import Recipe


class Seen(NamedTuple):
    """One step of somebody's program: what went in, and what came out; in float64."""

    weights: Weights | None
    """Before the step; None where nobody saw them: they are what the step before has left."""
    images: Array
    """(N, inputs)."""
    labels: Array
    """(N,) integers."""
    rate: float
    said: Numbers
    """What the program returned, which may be a part."""


class Reference:
    """What is right, in float64. Every step is taken from the weights that were seen before it.

    Where the gradients were seen as well, the update is done with them: so each part of a step is
    judged for itself, and a mistake in one does not spoil the numbers of the next.
    """

    name = "right"

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.optimizer = recipe.optimizer
        self.g, self.g_derivative = activations.ACTIVATIONS[recipe.activation]
        self.layers = range(len(recipe.sizes) - 1)
        self.layouts = recipe.layouts
        self.memory: dict[tuple[str, str], Array] = {}  # by weight and slot
        self.t = 0

    def run(self, steps: Iterable[Seen]) -> Iterator[Numbers]:
        """What is computed at each step, one after the other: loss, gradients, weights."""
        weights: Weights = {}
        for seen in steps:
            weights = weights if seen.weights is None else seen.weights
            with np.errstate(all="ignore"):  # a mistake may overflow; it then matches nobody
                numbers = self.step(seen, weights)
            yield numbers
            weights = {name: numbers[Number("weight", name)] for name in weights}

    def step(self, seen: Seen, weights: Weights) -> Numbers:
        """Forward, loss, backward, update."""
        self.t += 1
        self.rate = self.learning_rate(seen.rate)
        X, y = self.inputs(seen.images), self.labels(seen.labels)
        Z, A = self.forward(X, weights)
        loss = self.loss(Z[-1], y) + self.penalty(weights)
        gradients = self.collected(self.backward(Z, A, y, weights))
        used = {n: seen.said.get(Number("gradient", n), g) for n, g in gradients.items()}
        moved = {name: self.move(name, W, used[name]) for name, W in weights.items()}
        numbers = {Number("loss"): np.array(loss)}
        numbers |= {Number("gradient", name): g for name, g in gradients.items()}
        return numbers | {Number("weight", name): moved[name] for name in gradients}

    # --- Forward and loss -------------------------------------------------------------------------

    def inputs(self, X: Array) -> Array:
        return X

    def labels(self, y: Array) -> Array:
        return y

    def forward(self, X: Array, weights: Weights) -> tuple[list[Array], list[Array]]:
        """Every layer's Z (N, out), the logits last, and what each layer takes in, A (N, in)."""
        Z, A = [], [X]
        for layer in self.layers:
            weight, bias = dense_names(layer)
            Z.append(self.biased(self.dense(A[-1], weights[weight]), weights[bias]))
            if layer < self.layers[-1]:
                A.append(self.activation(Z[-1]))
        return Z, A

    def product(self, A: Array, B: Array) -> Array:
        return A @ B

    def dense(self, A: Array, W: Array) -> Array:
        return self.product(A, W)

    def biased(self, Z: Array, b: Array) -> Array:
        return Z + b

    def activation(self, Z: Array) -> Array:
        return self.g(Z)

    def loss(self, Z: Array, y: Array) -> float:
        return losses.cross_entropy(Z, y)

    def penalty(self, weights: Weights) -> float:
        decaying = (W for name, W in weights.items() if self.layouts[name].decays)
        return self.recipe.l2 / 2 * squares(decaying)

    # --- Backward ---------------------------------------------------------------------------------

    def backward(self, Z: list[Array], A: list[Array], y: Array, weights: Weights) -> Weights:
        """The gradients, last layer first."""
        gradients: Weights = {}
        dZ = self.output_derivative(Z[-1], y)
        for layer in reversed(self.layers):
            weight, bias = dense_names(layer)
            dW, db = self.weight_gradient(A[layer], dZ), self.bias_gradient(dZ)
            gradients[weight] = self.penalised(weight, dW, weights[weight])
            gradients[bias] = self.penalised(bias, db, weights[bias])
            if layer:
                W = self.carrier(weight, weights[weight], gradients[weight])
                dZ = self.carried(dZ, W) * self.slope(Z[layer - 1], A[layer])
        return gradients

    def output_derivative(self, Z: Array, y: Array) -> Array:
        return losses.cross_entropy_derivative(Z, y)

    def weight_gradient(self, A: Array, dZ: Array) -> Array:
        return self.product(A.T, dZ)

    def bias_gradient(self, dZ: Array) -> Array:
        return dZ.sum(axis=0)

    def penalised(self, name: str, gradient: Array, W: Array) -> Array:
        return gradient + self.recipe.l2 * W if self.layouts[name].decays else gradient

    def carrier(self, name: str, W: Array, gradient: Array) -> Array:
        """The weights by which the derivative goes down a layer."""
        return W

    def carried(self, dZ: Array, W: Array) -> Array:
        return self.product(dZ, W.T)

    def slope(self, Z: Array, A: Array) -> Array:
        return self.g_derivative(A)

    def collected(self, gradients: Weights) -> Weights:
        """What the optimizer is handed."""
        return gradients

    # --- Update -----------------------------------------------------------------------------------

    def learning_rate(self, rate: float) -> float:
        return rate

    def move(self, name: str, W: Array, gradient: Array) -> Array:
        return self.decayed(name, W) - self.change(name, gradient)

    def decayed(self, name: str, W: Array) -> Array:
        if self.optimizer != "adamw" or not self.layouts[name].decays:
            return W
        return W * (1 - self.rate * self.as_written(self.recipe.weight_decay))

    def change(self, name: str, g: Array) -> Array:
        """What the optimizer subtracts; `by_hand.optimizers` has the papers and the dialects."""
        if self.optimizer in ("momentum", "nesterov"):
            return self.rolled(name, g)
        if self.optimizer == "rmsprop":
            return self.rate * g / self.root(self.average(name, "v", g * g, self.recipe.rho))
        if self.optimizer in ("adam", "adamw"):
            m = self.average(name, "m", g, self.recipe.beta1)
            v = self.average(name, "v", g * g, self.recipe.beta2)
            return self.rate * self.adam_direction(m, v, *self.corrections(name))
        return self.rate * g

    def rolled(self, name: str, g: Array) -> Array:
        mu = self.as_written(self.recipe.momentum)
        keras = self.recipe.dialect == "keras"
        scaled, last = (self.rate * g, 1.0) if keras else (g, self.rate)
        v = self.velocity(name, scaled, mu)
        return last * (scaled + mu * v if self.optimizer == "nesterov" else v)

    def velocity(self, name: str, g: Array, mu: float) -> Array:
        return self.remember(name, "velocity", mu * self.recall(name, "velocity", g) + g)

    def root(self, v: Array) -> Array:
        if self.recipe.dialect == "keras":
            return np.sqrt(v + self.recipe.epsilon)
        return np.sqrt(v) + self.recipe.epsilon

    def average(self, name: str, slot: str, g: Array, beta: float) -> Array:
        return self.remember(name, slot, beta * self.recall(name, slot, g) + (1 - beta) * g)

    def corrections(self, name: str) -> tuple[float, float]:
        """Adam's c₁ and c₂ at this step."""
        b1, b2 = self.as_written(self.recipe.beta1), self.as_written(self.recipe.beta2)
        return 1 - b1**self.t, 1 - b2**self.t

    def adam_direction(self, m: Array, v: Array, c1: float, c2: float) -> Array:
        if self.recipe.dialect == "keras":
            return np.sqrt(c2) / c1 * m / (np.sqrt(v) + self.recipe.epsilon)
        return m / c1 / (np.sqrt(v / c2) + self.recipe.epsilon)

    def as_written(self, number: float) -> float:
        """The number as the dialect computes with it."""
        keras = self.recipe.dialect == "keras"
        return optimizers.as_in_tensorflow(number) if keras else number

    def recall(self, name: str, slot: str, like: Array) -> Array:
        """What the optimizer remembers of a weight: zeros before the first update."""
        return self.memory.get((name, slot), np.zeros_like(like))

    def remember(self, name: str, slot: str, value: Array) -> Array:
        self.memory[name, slot] = value
        return value

    def looked_ahead(self, name: str, W: Array, gradient: Array) -> Array:
        """The weight as the update would leave it; nothing is remembered."""
        kept = copy.copy(self.memory)  # `remember` replaces arrays and changes none
        moved = self.move(name, W, gradient)
        self.memory = kept
        return moved


def squares(arrays: Iterable[Array]) -> float:
    """The sum of all squares; not by BLAS, whose threads cost more here than they give."""
    return sum(float((W * W).sum()) for W in arrays)


def in_float64(weights: Weights) -> Weights:
    """A copy as the reference takes it."""
    return {name: W.astype(float) for name, W in weights.items()}
