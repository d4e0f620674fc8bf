"""Mistakes in the layers: the forward pass, and the gradients that come back through it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...by_hand import activations
from ...by_hand.arrays import Array
from ...layouts import Weights
from ...recipe import Recipe
from .catalogue import Case, InHiddenLayers, Mistake, mistake


@mistake
class OtherActivation(Mistake):
    def __init__(self, recipe: Recipe, name: str) -> None:
        super().__init__(recipe)
        self.name = f"activation {name}"
        self.sentence = f"the activation is {name}, not {recipe.activation}"
        self.g, self.g_derivative = activations.ACTIVATIONS[name]

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        if case.recipe.hidden:
            for name in activations.ACTIVATIONS:
                if name != case.recipe.activation:
                    yield cls(case.recipe, name)


@mistake
class NoActivation(InHiddenLayers):
    name = "no activation"
    sentence = "the activation between the layers is missing"

    def activation(self, Z: Array) -> Array:
        return Z

    def slope(self, Z: Array, A: Array) -> Array:
        return np.ones_like(Z)


@mistake
class NoActivationDerivative(InHiddenLayers):
    name = "activation's derivative missing"
    sentence = "the activation's derivative is missing: dZ = dA · g'(Z)"

    def slope(self, Z: Array, A: Array) -> Array:
        return np.ones_like(Z)


@mistake
class DerivativeAtZ(InHiddenLayers):
    name = "activation's derivative taken at Z"
    sentence = "the activation's derivative is written for A = g(Z), and is given Z"

    def slope(self, Z: Array, A: Array) -> Array:
        return self.g_derivative(Z)


@mistake
class DerivativeAtA(InHiddenLayers):
    name = "activation's derivative taken at A"
    sentence = "the activation's derivative is written for Z, and is given A = g(Z)"

    def slope(self, Z: Array, A: Array) -> Array:
        return self.g_derivative(self.g(A))


@mistake
class OtherDerivative(Mistake):
    def __init__(self, recipe: Recipe, name: str) -> None:
        super().__init__(recipe)
        self.name = f"derivative of {name}"
        self.sentence = f"the derivative is that of {name}, the activation is {recipe.activation}"
        self.g_derivative = activations.ACTIVATIONS[name][1]

    variants = OtherActivation.variants


@mistake
class EarlyUpdate(InHiddenLayers):
    name = "updated before it is used"
    sentence = (
        "a layer's weights are updated before the derivative is carried through them: compute all "
        "gradients first, then update"
    )

    def carrier(self, name: str, W: Array, gradient: Array) -> Array:
        return self.looked_ahead(name, W, gradient)


class InSquareLayers(Mistake):
    """A mistake that only square matrices let pass."""

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        if any(W[0] == W[-1] for W in case.recipe.shapes.values() if len(W) == 2):
            yield cls(case.recipe)


def flipped(W: Array) -> Array:
    return W.T if W.shape[0] == W.shape[1] else W


@mistake
class WeightsTransposed(InSquareLayers):
    name = "weights transposed"
    sentence = "a square layer's weights are used transposed: X·Wᵀ where (in, out) asks for X·W"

    def dense(self, A: Array, W: Array) -> Array:
        return super().dense(A, flipped(W))

    def carried(self, dZ: Array, W: Array) -> Array:
        return super().carried(dZ, flipped(W))

    def weight_gradient(self, A: Array, dZ: Array) -> Array:
        return flipped(super().weight_gradient(A, dZ))


@mistake
class NotCarriedByTranspose(InSquareLayers):
    name = "carried back without the transpose"
    sentence = "the derivative goes back through a square layer by W, not by its transpose"

    def carried(self, dZ: Array, W: Array) -> Array:
        return super().carried(dZ, flipped(W))


@mistake
class BiasNotAdded(Mistake):
    name = "bias not added"
    sentence = "the bias is not added in the forward pass"

    def biased(self, Z: Array, b: Array) -> Array:
        return Z


class OnTensors(Mistake):
    """A mistake in the gradients of those weights that are seen to differ.

    With an L2 penalty it may be in the data's part of the gradient or in the whole.
    """

    def __init__(self, recipe: Recipe, names: frozenset[str], whole: bool) -> None:
        super().__init__(recipe)
        self.names, self.whole = names, whole

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        for whole in (False, True) if case.recipe.l2 else (False,):
            yield cls(case.recipe, case.wrong, whole)

    def output_derivative(self, Z: Array, y: Array) -> Array:
        self.count = len(y)
        return super().output_derivative(Z, y)

    def penalised(self, name: str, gradient: Array, W: Array) -> Array:
        if name not in self.names:
            return super().penalised(name, gradient, W)
        if self.whole:
            return self.changed(super().penalised(name, gradient, W))
        return super().penalised(name, self.changed(gradient), W)

    def changed(self, gradient: Array) -> Array:
        raise NotImplementedError


@mistake
class MeanMissing(OnTensors):
    name = "mean over the batch missing"
    sentence = "the mean over the batch, 1/N, is missing"

    def changed(self, gradient: Array) -> Array:
        return gradient * self.count


@mistake
class MeanDoubled(OnTensors):
    name = "mean over the batch doubled"
    sentence = "the mean over the batch, 1/N, is taken twice"

    def changed(self, gradient: Array) -> Array:
        return gradient / self.count


@mistake
class SignWrong(OnTensors):
    name = "sign of the gradient"
    sentence = "the gradient's sign is wrong: the derivative is P - Y, not Y - P"

    def changed(self, gradient: Array) -> Array:
        return -gradient


@mistake
class GradientTransposed(OnTensors):
    name = "gradient transposed"
    sentence = "the gradient is transposed: dW = Aᵀ·dZ is (in, out)"

    def changed(self, gradient: Array) -> Array:
        return gradient.T.reshape(gradient.shape)


@mistake
class BiasSummedOverAll(Mistake):
    name = "bias gradient not summed over the batch alone"
    sentence = "the gradient of a bias is the sum over everything, one number: sum over axis 0"

    def bias_gradient(self, dZ: Array) -> Array:
        return np.full(dZ.shape[1], dZ.sum())


@mistake
class BiasOfOneExample(Mistake):
    def __init__(self, recipe: Recipe, which: int) -> None:
        super().__init__(recipe)
        self.which = which
        self.name = "bias gradient not summed"
        self.sentence = (
            "the gradient of a bias is not summed over the batch: it is that of the "
            f"{'last' if which else 'first'} example alone"
        )

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        for which in (0, -1):
            yield cls(case.recipe, which)

    def bias_gradient(self, dZ: Array) -> Array:
        return dZ[self.which]


@mistake
class Accumulated(Mistake):
    name = "gradients accumulated"
    sentence = "gradients pile up from step to step: clear them before each backward pass"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.total: Weights = {}

    def collected(self, gradients: Weights) -> Weights:
        self.total = {name: self.total.get(name, 0) + g for name, g in gradients.items()}
        return self.total
