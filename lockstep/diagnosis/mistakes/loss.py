"""Mistakes in softmax and cross-entropy, in the loss itself and in its derivative."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...by_hand import losses
from ...by_hand.arrays import Array
from ...layouts import Weights
from ...proof.trace import Number, Numbers, of_kind
from ...recipe import Recipe
from ..reference import Seen
from .catalogue import Case, Mistake, mistake


def one_hot(y: Array, Z: Array) -> Array:
    return np.eye(Z.shape[1])[y]


class InLossOrDerivative(Mistake):
    """A mistake that one can make in the loss, in its derivative, or in both."""

    def __init__(self, recipe: Recipe, in_loss: bool, in_derivative: bool) -> None:
        super().__init__(recipe)
        self.in_loss, self.in_derivative = in_loss, in_derivative

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        for where in ((True, True), (True, False), (False, True)):
            yield cls(case.recipe, *where)

    def loss(self, Z: Array, y: Array) -> float:
        return self.wrong_loss(Z, y) if self.in_loss else super().loss(Z, y)

    def output_derivative(self, Z: Array, y: Array) -> Array:
        if not self.in_derivative:
            return super().output_derivative(Z, y)
        return self.wrong_derivative(Z, y)

    def wrong_loss(self, Z: Array, y: Array) -> float:
        raise NotImplementedError

    def wrong_derivative(self, Z: Array, y: Array) -> Array:
        raise NotImplementedError


@mistake
class LossSummed(Mistake):
    name = "loss summed"
    sentence = "the loss is summed over the batch, not averaged"

    def loss(self, Z: Array, y: Array) -> float:
        return super().loss(Z, y) * len(y)


@mistake
class LossNegative(Mistake):
    name = "loss negative"
    sentence = "the minus before the mean of log P is missing in the loss"

    def loss(self, Z: Array, y: Array) -> float:
        return -super().loss(Z, y)


@mistake
class LossInBits(Mistake):
    name = "loss in bits"
    sentence = "the loss is taken with the logarithm to base 2, not e"

    def loss(self, Z: Array, y: Array) -> float:
        return super().loss(Z, y) / np.log(2)


@mistake
class LossAfterUpdate(Mistake):
    name = "loss after the update"
    sentence = "the loss is computed with the weights after the update, not before it"

    def step(self, seen: Seen, weights: Weights) -> Numbers:
        numbers = super().step(seen, weights)
        Z, _ = self.forward(self.inputs(seen.images), of_kind(numbers, "weight"))
        return numbers | {Number("loss"): np.array(self.loss(Z[-1], seen.labels))}


@mistake
class MeanOverClasses(InLossOrDerivative):
    name = "mean over the classes too"
    sentence = "the mean is taken over all N × classes numbers, not over the N examples"

    def wrong_loss(self, Z: Array, y: Array) -> float:
        return losses.cross_entropy(Z, y) / Z.shape[1]

    def wrong_derivative(self, Z: Array, y: Array) -> Array:
        return losses.cross_entropy_derivative(Z, y) / Z.shape[1]


@mistake
class Clipped(Mistake):
    """log of P that is kept away from 0: at both ends, at the lower one, or by adding ε."""

    name = "log of clipped probabilities"

    def __init__(self, recipe: Recipe, kind: str, epsilon: float, blocks: bool) -> None:
        super().__init__(recipe)
        self.kind, self.epsilon, self.blocks = kind, epsilon, blocks
        how = f"to which {epsilon:g} is added" if kind == "add" else f"clipped at {epsilon:g}"
        self.sentence = (
            f"the logarithm is taken of probabilities {how}: take log_softmax of the logits, and "
            "nothing needs clipping"
        )

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        for kind in ("low", "both", "add"):
            for epsilon in (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16):
                for blocks in (False, True):
                    yield cls(case.recipe, kind, epsilon, blocks)

    def loss(self, Z: Array, y: Array) -> float:
        P = losses.softmax(Z)[np.arange(len(y)), y]
        if self.kind == "add":
            return float(-np.log(P + self.epsilon).mean())
        return float(-np.log(np.clip(P, self.epsilon, self._most)).mean())

    @property
    def _most(self) -> float:
        return 1 - self.epsilon if self.kind == "both" else 1.0

    def output_derivative(self, Z: Array, y: Array) -> Array:
        dZ = super().output_derivative(Z, y)
        if not self.blocks:
            return dZ
        P = losses.softmax(Z)[np.arange(len(y)), y][:, None]
        if self.kind == "add":
            return dZ * P / (P + self.epsilon)
        return dZ * ((self.epsilon <= P) & (self._most >= P))  # a framework's clip passes nothing


@mistake
class SecondSoftmax(Mistake):
    """The probabilities are taken for logits; in the derivative too, chained or by P - Y."""

    name = "second softmax"
    sentence = "softmax is applied twice: the loss takes logits, and gets probabilities"

    def __init__(self, recipe: Recipe, derivative: str) -> None:
        super().__init__(recipe)
        self.derivative = derivative

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        for derivative in ("chained", "short", "right"):
            yield cls(case.recipe, derivative)

    def loss(self, Z: Array, y: Array) -> float:
        return super().loss(losses.softmax(Z), y)

    def output_derivative(self, Z: Array, y: Array) -> Array:
        if self.derivative == "right":
            return super().output_derivative(Z, y)
        P = losses.softmax(Z)
        dP = super().output_derivative(P, y)
        if self.derivative == "short":
            return dP
        return P * (dP - (dP * P).sum(axis=1, keepdims=True))


@mistake
class NoOffDiagonal(Mistake):
    name = "softmax's derivative without the off-diagonal"
    sentence = (
        "softmax's derivative is taken as P(1 - P), its diagonal alone: every probability depends "
        "on every logit, and together with the logarithm it is P - Y"
    )

    def output_derivative(self, Z: Array, y: Array) -> Array:
        return -one_hot(y, Z) * (1 - losses.softmax(Z)) / len(y)


class WrongAxis(InLossOrDerivative):
    def probabilities(self, Z: Array) -> Array:
        raise NotImplementedError

    def wrong_loss(self, Z: Array, y: Array) -> float:
        return float(-np.log(self.probabilities(Z)[np.arange(len(y)), y]).mean())

    def wrong_derivative(self, Z: Array, y: Array) -> Array:
        return (self.probabilities(Z) - one_hot(y, Z)) / len(y)


@mistake
class SoftmaxOverBatch(WrongAxis):
    name = "softmax over the batch"
    sentence = "softmax is taken down the columns, over the batch: its sum runs over axis 1"

    def probabilities(self, Z: Array) -> Array:
        return losses.softmax(Z.T).T


@mistake
class SoftmaxOverAll(WrongAxis):
    name = "softmax over everything"
    sentence = "softmax is taken over the whole batch at once: its sum runs over axis 1, row by row"

    def probabilities(self, Z: Array) -> Array:
        return losses.softmax(Z.reshape(1, -1)).reshape(Z.shape)


@mistake
class LabelsBroadcast(InLossOrDerivative):
    """P[arange(N), y] with y (N, 1): all pairs of an image and a label, (N, N)."""

    name = "broadcast (N,1) against (N,)"
    sentence = (
        "labels of shape (N, 1) are broadcast against (N,): every image is held against every "
        "label of the batch; make them (N,)"
    )

    def wrong_loss(self, Z: Array, y: Array) -> float:
        return float(-losses.log_softmax(Z)[:, y].mean())

    def wrong_derivative(self, Z: Array, y: Array) -> Array:
        return (losses.softmax(Z) - one_hot(y, Z).mean(axis=0)) / len(y)


@mistake
class LabelsBroadcastInIndex(LabelsBroadcast):
    """dZ[arange(N), y] -= 1 with y (N, 1): in every row, each label of the batch once."""

    def wrong_derivative(self, Z: Array, y: Array) -> Array:
        return (losses.softmax(Z) - one_hot(y, Z).max(axis=0)) / len(y)


@mistake
class LabelsNotOneHot(Mistake):
    name = "labels not one-hot"
    sentence = "the label's number is taken out of every column: P - Y needs Y one-hot"

    def output_derivative(self, Z: Array, y: Array) -> Array:
        return (losses.softmax(Z) - np.asarray(y)[:, None]) / len(y)
