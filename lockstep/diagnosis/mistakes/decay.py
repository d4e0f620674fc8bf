"""Mistakes in weight decay and in the L2 penalty, which shrink the weights in two ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...by_hand.arrays import Array
from ...layouts import Weights
from ...recipe import Recipe
from ..reference import squares
from .catalogue import Case, Mistake, WithOptimizer, mistake


@mistake
class DecayCoupled(WithOptimizer):
    name = "weight decay coupled"
    sentence = (
        "weight decay is added to the gradient (Adam with L2); in AdamW it is apart: W shrinks by "
        "lr·decay, untouched by m and v"
    )
    optimizers = ("adamw",)

    def move(self, name: str, W: Array, gradient: Array) -> Array:
        if self.layouts[name].decays:
            gradient = gradient + self.recipe.weight_decay * W
        return super().move(name, W, gradient)

    def decayed(self, name: str, W: Array) -> Array:
        return W


@mistake
class DecayMissing(WithOptimizer):
    name = "weight decay missing"
    sentence = "weight decay is missing"
    optimizers = ("adamw",)

    def decayed(self, name: str, W: Array) -> Array:
        return W


@mistake
class DecayOfBiases(WithOptimizer):
    name = "weight decay on biases"
    sentence = "weight decay is applied to the biases too"
    optimizers = ("adamw",)

    def decayed(self, name: str, W: Array) -> Array:
        return W * (1 - self.rate * self.as_written(self.recipe.weight_decay))


@mistake
class DecayWithoutRate(WithOptimizer):
    name = "weight decay without the learning rate"
    sentence = "weight decay is not multiplied by the learning rate"
    optimizers = ("adamw",)

    def decayed(self, name: str, W: Array) -> Array:
        return W * (1 - self.recipe.weight_decay) if self.layouts[name].decays else W


@mistake
class DecayAfter(WithOptimizer):
    name = "weight decay after the move"
    sentence = "weight decay shrinks the weights after the move; it shrinks them before it"
    optimizers = ("adamw",)

    def move(self, name: str, W: Array, gradient: Array) -> Array:
        return super().decayed(name, W - self.change(name, gradient))


@mistake
class UnaskedDecay(Mistake):
    """A framework's default for AdamW, or a usual value, where the recipe has none."""

    def __init__(self, recipe: Recipe, decay: float, coupled: bool) -> None:
        super().__init__(recipe)
        self.decay, self.coupled = decay, coupled
        self.name = f"weight decay {decay:g} unasked"
        self.sentence = f"there is a weight decay of {decay:g}, the recipe has none"

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        if case.recipe.optimizer != "adamw" and not case.recipe.l2:
            for decay in (0.01, 0.004, 1e-3, 5e-4, 1e-4):
                for coupled in (False, True):
                    yield cls(case.recipe, decay, coupled)

    def move(self, name: str, W: Array, gradient: Array) -> Array:
        if not self.coupled:
            return super().move(name, W * (1 - self.rate * self.decay), gradient)
        return super().move(name, W, gradient + self.decay * W)


@mistake
class PenaltyScaled(Mistake):
    """The L2 penalty missing, halved, doubled or divided by N, in the loss or the gradient."""

    FACTORS: tuple[tuple[str, Callable[[int], float]], ...] = (
        ("is missing", lambda n: 0.0),
        ("is halved: its derivative is l2·W, of l2/2·W²", lambda n: 0.5),
        ("is doubled: it is l2/2·W², and its derivative l2·W", lambda n: 2.0),
        ("is divided by the batch's N", lambda n: 1 / n),
    )

    def __init__(
        self, recipe: Recipe, what: str, factor: Callable[[int], float], where: tuple[bool, bool]
    ) -> None:
        super().__init__(recipe)
        self.name, self.sentence = f"L2 penalty {what}", f"the L2 penalty {what}"
        self.factor = factor
        self.in_loss, self.in_gradient = where

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        if case.recipe.l2:
            for what, factor in cls.FACTORS:
                for where in ((True, True), (True, False), (False, True)):
                    yield cls(case.recipe, what, factor, where)

    def labels(self, y: Array) -> Array:
        self.times = self.factor(len(y))
        return y

    def penalty(self, weights: Weights) -> float:
        return super().penalty(weights) * (self.times if self.in_loss else 1)

    def penalised(self, name: str, gradient: Array, W: Array) -> Array:
        l2 = super().penalised(name, gradient, W) - gradient
        return gradient + l2 * (self.times if self.in_gradient else 1)


@mistake
class PenaltyOnBiases(Mistake):
    name = "L2 penalty on biases"
    sentence = "the L2 penalty is applied to the biases too"

    def __init__(self, recipe: Recipe, in_loss: bool, in_gradient: bool) -> None:
        super().__init__(recipe)
        self.in_loss, self.in_gradient = in_loss, in_gradient

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        if case.recipe.l2:
            for where in ((True, True), (True, False), (False, True)):
                yield cls(case.recipe, *where)

    def penalty(self, weights: Weights) -> float:
        if not self.in_loss:
            return super().penalty(weights)
        return self.recipe.l2 / 2 * squares(weights.values())

    def penalised(self, name: str, gradient: Array, W: Array) -> Array:
        if not self.in_gradient:
            return super().penalised(name, gradient, W)
        return gradient + self.recipe.l2 * W


@mistake
class PenaltyDecoupled(Mistake):
    name = "L2 penalty decoupled"
    sentence = (
        "the L2 penalty is not in the gradient: the weights are shrunk by lr·l2 in the update, "
        "which passes by the optimizer"
    )

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        if case.recipe.l2:
            yield cls(case.recipe)

    def penalised(self, name: str, gradient: Array, W: Array) -> Array:
        return gradient

    def decayed(self, name: str, W: Array) -> Array:
        return W * (1 - self.rate * self.recipe.l2) if self.layouts[name].decays else W
