"""Mistakes in the update: the learning rate, and what each optimizer makes of a gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ...by_hand import optimizers
from ...by_hand.arrays import Array
from ...proof.trace import Numbers, of_kind
from ...recipe import Recipe
from ..reference import Seen, squares
from .backward import Accumulated
from .catalogue import Case, Mistake, WithOptimizer, mistake


@mistake
class BiasNotUpdated(Mistake):
    name = "bias not updated"
    sentence = "it is not updated"

    def __init__(self, recipe: Recipe, names: frozenset[str]) -> None:
        super().__init__(recipe)
        self.names = names

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        yield cls(case.recipe, case.wrong)

    def move(self, name: str, W: Array, gradient: Array) -> Array:
        return W if name in self.names else super().move(name, W, gradient)


@mistake
class Uphill(Mistake):
    name = "update adds"
    sentence = "the update adds the step where it should subtract it"

    def change(self, name: str, g: Array) -> Array:
        return -super().change(name, g)


@mistake
class AccumulatedInUpdate(Mistake):
    """The gradient that is shown is right, and the one that is used has piled up."""

    name = Accumulated.name
    sentence = Accumulated.sentence

    def change(self, name: str, g: Array) -> Array:
        total = self.remember(name, "total", self.recall(name, "total", g) + g)
        return super().change(name, total)


@mistake
class LearningRate(Mistake):
    name = "learning rate"
    GUESSES = (0.01, 0.1, 0.5, 2.0, 10.0, 100.0)

    def __init__(self, recipe: Recipe, factor: float) -> None:
        super().__init__(recipe)
        self.factor = factor
        self.sentence = f"the learning rate is {factor:.4g} times the one given"

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        measured = step_factor(case.steps[0], case.right[0])
        for factor in cls.GUESSES if measured is None else (measured,):
            if factor > 0:
                yield cls(case.recipe, factor)

    def learning_rate(self, rate: float) -> float:
        return rate * self.factor


def step_factor(seen: Seen, right: Numbers) -> float | None:
    """How many times too far the weights went, by least squares; None where nobody saw them go."""
    said, computed = of_kind(seen.said, "weight"), of_kind(right, "weight")
    moves = [
        (said[name] - W, computed[name] - W)
        for name, W in (seen.weights or {}).items()
        if name in said
    ]
    length = squares(ours for _, ours in moves)
    return sum(float((theirs * ours).sum()) for theirs, ours in moves) / length if length else None


@mistake
class RateIgnored(Mistake):
    name = "schedule ignored"
    sentence = "the learning rate stays as it is in the recipe, and the schedule's is ignored"

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        if case.recipe.schedule != "constant":
            yield cls(case.recipe)

    def learning_rate(self, rate: float) -> float:
        return self.recipe.learning_rate


ADAM, ROLLING = ("adam", "adamw"), ("momentum", "nesterov")


@mistake
class OtherOptimizer(Mistake):
    """The update of another optimizer. Momentum's kinds are each other's mistake."""

    def __init__(self, recipe: Recipe, optimizer: str) -> None:
        super().__init__(recipe)
        self.optimizer = optimizer
        self.name = f"optimizer {optimizer}"
        self.sentence = f"the update is that of {optimizer}, the recipe's is {recipe.optimizer}"

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        right = case.recipe.optimizer
        alike = set(ADAM) if right in ADAM else {right}  # weight decay has mistakes of its own
        for optimizer in sorted(set(optimizers.OPTIMIZERS) - alike):
            yield cls(case.recipe, optimizer)


@mistake
class MomentumAveraged(WithOptimizer):
    name = "momentum averaged"
    sentence = "the velocity is a mean, v ← μv + (1 - μ)g, where it should be v ← μv + g"
    optimizers = ROLLING

    def velocity(self, name: str, g: Array, mu: float) -> Array:
        return super().velocity(name, (1 - mu) * g, mu)


@mistake
class MomentumOtherDialect(WithOptimizer):
    name = "momentum's other dialect"
    sentence = (
        "the learning rate is at the other place in the momentum (in the velocity as in Keras, or "
        "outside as in PyTorch), which differs once the rate changes"
    )
    optimizers = ROLLING

    def rolled(self, name: str, g: Array) -> Array:
        mu = self.recipe.momentum
        torch = self.recipe.dialect == "torch"
        scaled, last = (self.rate * g, 1.0) if torch else (g, self.rate)
        v = self.velocity(name, scaled, mu)
        return last * (scaled + mu * v if self.optimizer == "nesterov" else v)


@mistake
class NoBiasCorrection(Mistake):
    name = "Adam without bias correction"

    def __init__(self, recipe: Recipe, of_m: bool, of_v: bool) -> None:
        super().__init__(recipe)
        self.of_m, self.of_v = of_m, of_v
        what = "m and v" if of_m and of_v else "m" if of_m else "v"
        self.sentence = f"Adam's bias correction of {what}, 1 - βᵗ, is missing"
        self.name = f"Adam without bias correction of {what}"

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        if case.recipe.optimizer in ADAM:
            for missing in ((True, True), (True, False), (False, True)):
                yield cls(case.recipe, *missing)

    def corrections(self, name: str) -> tuple[float, float]:
        c1, c2 = super().corrections(name)
        return 1.0 if self.of_m else c1, 1.0 if self.of_v else c2


@mistake
class AdamCountsTensors(WithOptimizer):
    name = "Adam's t counts tensors"
    sentence = "Adam's t is advanced for every weight and bias, not once a step"
    optimizers = ADAM

    def corrections(self, name: str) -> tuple[float, float]:
        names = list(self.recipe.shapes)
        steps = self.t
        self.t = (steps - 1) * len(names) + names.index(name) + 1
        result = super().corrections(name)
        self.t = steps
        return result


@mistake
class AdamCountsAhead(WithOptimizer):
    name = "Adam's t one ahead"
    sentence = "Adam's t is one ahead: its bias correction at the first step is 1 - β²"
    optimizers = ADAM

    def corrections(self, name: str) -> tuple[float, float]:
        self.t += 1
        result = super().corrections(name)
        self.t -= 1
        return result


@mistake
class MomentsSwapped(WithOptimizer):
    name = "Adam's moments swapped"
    sentence = "Adam's β₁ and β₂ are swapped"
    optimizers = ADAM

    def average(self, name: str, slot: str, g: Array, beta: float) -> Array:
        other = self.recipe.beta2 if slot == "m" else self.recipe.beta1
        return super().average(name, slot, g, other)

    def corrections(self, name: str) -> tuple[float, float]:
        c1, c2 = super().corrections(name)
        return c2, c1


@mistake
class AdamWithoutRoot(WithOptimizer):
    name = "Adam without the root"
    sentence = "the square root of Adam's v is missing"
    optimizers = ADAM

    def adam_direction(self, m: Array, v: Array, c1: float, c2: float) -> Array:
        return m / c1 / (v / c2 + self.recipe.epsilon)


@mistake
class EpsilonUnderRoot(WithOptimizer):
    name = "epsilon under the root"
    sentence = "ε stands under the square root, √(v + ε), where it should stand beside it, √v + ε"
    optimizers = (*ADAM, "rmsprop")

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        if (case.recipe.optimizer, case.recipe.dialect) != ("rmsprop", "keras"):  # right there
            yield from super().variants(case)

    def adam_direction(self, m: Array, v: Array, c1: float, c2: float) -> Array:
        return m / c1 / np.sqrt(v / c2 + self.recipe.epsilon)

    def root(self, v: Array) -> Array:
        return np.sqrt(v + self.recipe.epsilon)


@mistake
class EpsilonBesideRoot(WithOptimizer):
    name = "epsilon beside the root"
    sentence = "ε stands beside the square root, √v + ε, where it should stand under it, √(v + ε)"
    optimizers = ("rmsprop",)

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        if case.recipe.dialect == "keras":  # right in the other
            yield from super().variants(case)

    def root(self, v: Array) -> Array:
        return np.sqrt(v) + self.recipe.epsilon


@mistake
class EpsilonOtherDialect(WithOptimizer):
    name = "epsilon before the correction"
    sentence = (
        "Adam's ε is added at another place than the recipe says: to √v before the bias correction "
        "(Keras), or to √v̂ after it (PyTorch)"
    )
    optimizers = ADAM

    def adam_direction(self, m: Array, v: Array, c1: float, c2: float) -> Array:
        keras = self.recipe.dialect == "keras"
        inside, outside = (np.sqrt(c2), 1.0) if keras else (1.0, np.sqrt(c2))
        return outside / c1 * m / (np.sqrt(v) / inside + self.recipe.epsilon)


@mistake
class OtherEpsilon(Mistake):
    VALUES = (0.0, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-3)

    def __init__(self, recipe: Recipe, epsilon: float) -> None:
        super().__init__(replace(recipe, epsilon=epsilon or np.finfo(float).tiny))
        self.name = f"epsilon {epsilon:g}"
        self.sentence = f"ε is {epsilon:g}, the recipe's is {recipe.epsilon:g}"

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        if case.recipe.optimizer in (*ADAM, "rmsprop"):
            for epsilon in cls.VALUES:
                if epsilon != case.recipe.epsilon:
                    yield cls(case.recipe, epsilon)
