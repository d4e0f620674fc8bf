"""The classic mistakes, each a line of the right program changed.

A mistake is a name, the sentence it is told with, and a program that computes what somebody who
makes it computes. Nothing here looks at symptoms: `diagnosis.py` runs these programs, and names
the one that gives the same wrong numbers. To add a mistake, add a class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..by_hand import activations, losses, optimizers
from ..by_hand.arrays import Array
from ..layouts import Weights
from ..recipe import Recipe
from .reference import Numbers, Reference, Seen, squares


@dataclass(frozen=True)
class Case:
    """What there is to explain: the steps that were seen, and the right numbers beside them."""

    recipe: Recipe
    steps: Sequence[Seen]
    right: Sequence[Numbers]
    wrong: frozenset[str] = field(default_factory=frozenset)
    """The weights whose gradients are seen to differ, or which differ themselves."""


class Mistake(Reference):
    """A program with one line wrong. Two classes of one name are one mistake, made differently."""

    sentence: str

    @classmethod
    def variants(cls, case: Case) -> Iterable[Mistake]:
        """The ways to make this mistake here; none where the recipe leaves no room for it."""
        yield cls(case.recipe)


CATALOGUE: list[type[Mistake]] = []


def mistake(cls: type[Mistake]) -> type[Mistake]:
    """Enter a class into the catalogue."""
    CATALOGUE.append(cls)
    return cls


# --- Inputs and labels ----------------------------------------------------------------------------

MNIST_MEAN, MNIST_DEVIATION = 0.1307, 0.3081


def standardised(X: Array) -> Array:
    """Every pixel by its own mean and deviation over these images; dark ones stay 0."""
    deviation = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(deviation > 0, deviation, 1)


INPUTS: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "inputs not scaled": (
        "the pixels are not scaled to 0…1: divide them by 255",
        lambda X: X * 255,
    ),
    "inputs scaled twice": ("the pixels are divided by 255 twice", lambda X: X / 255),
    "inputs over 256": ("the pixels are divided by 256, not 255", lambda X: X * (255 / 256)),
    "inputs to -1…1": ("the pixels are scaled to -1…1, not 0…1", lambda X: 2 * X - 1),
    "inputs inverted": ("the pixels are inverted: 0 is the background here", lambda X: 1 - X),
    "inputs standardised by MNIST's numbers": (
        "the pixels are standardised by MNIST's mean 0.1307 and deviation 0.3081, not only scaled",
        lambda X: (X - MNIST_MEAN) / MNIST_DEVIATION,
    ),
    "inputs standardised": (
        "the pixels are standardised by the mean and deviation of these images, not only scaled",
        lambda X: (X - X.mean()) / X.std(),
    ),
    "inputs standardised pixel by pixel": (
        "every pixel is standardised by its own mean and deviation, not only scaled",
        standardised,
    ),
    "inputs centred": (
        "the mean of the images is taken out of the pixels",
        lambda X: X - X.mean(axis=0),
    ),
    "inputs made black and white": (
        "the pixels are rounded to 0 and 1",
        lambda X: (X > 0.5).astype(float),
    ),
}


@mistake
class Inputs(Mistake):
    def __init__(self, recipe: Recipe, name: str) -> None:
        super().__init__(recipe)
        self.name = name
        self.sentence, self.changed = INPUTS[name]

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        for name in INPUTS:
            yield cls(case.recipe, name)

    def inputs(self, X: Array) -> Array:
        return self.changed(X)


@mistake
class LabelsShifted(Mistake):
    """By one class, or by one place in the batch, so that an image has its neighbour's label."""

    def __init__(self, recipe: Recipe, name: str, sentence: str, shift: Callable) -> None:
        super().__init__(recipe)
        self.name, self.sentence, self.shift = name, sentence, shift

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        classes = case.recipe.classes
        for by in (1, -1):
            yield cls(
                case.recipe,
                f"labels shifted by {by:+} class",
                f"the labels are shifted by {by:+}: digit d counts as class d{by:+}",
                lambda y, by=by: (y.astype(int) + by) % classes,
            )
            yield cls(
                case.recipe,
                f"labels shifted by {by:+} place",
                f"the labels are shifted by {by:+} place in the batch against the images",
                lambda y, by=by: np.roll(y, by),
            )

    def labels(self, y: Array) -> Array:
        return self.shift(y)


# --- The loss -------------------------------------------------------------------------------------


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
        after = {name: numbers["weights", name] for name in weights}
        Z, _ = self.forward(self.inputs(seen.images), after)
        return numbers | {("loss", ""): np.array(self.loss(Z[-1], seen.labels))}


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


# --- Forward and backward -------------------------------------------------------------------------


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
            for name in set(activations.ACTIVATIONS) - {case.recipe.activation}:
                yield cls(case.recipe, name)


class InHiddenLayers(Mistake):
    """A mistake that needs a hidden layer."""

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        if case.recipe.hidden:
            yield cls(case.recipe)


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


# --- The update -----------------------------------------------------------------------------------


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
    moves = [
        (seen.said["weights", name] - W, right["weights", name] - W)
        for name, W in (seen.weights or {}).items()
        if ("weights", name) in seen.said
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


class WithOptimizer(Mistake):
    """A mistake that only some optimizers have room for."""

    optimizers: tuple[str, ...]

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        if case.recipe.optimizer in cls.optimizers:
            yield cls(case.recipe)


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
        own = case.recipe.optimizer
        decay = {"adam", "adamw"} if own in ADAM else {own}  # which has mistakes of its own
        for optimizer in sorted(set(optimizers.OPTIMIZERS) - decay):
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
class AdamCountsLate(WithOptimizer):
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


# --- Weight decay and the L2 penalty --------------------------------------------------------------


@mistake
class DecayCoupled(WithOptimizer):
    name = "weight decay coupled"
    sentence = (
        "weight decay is added to the gradient (Adam with L2); in AdamW it is apart: W shrinks by "
        "lr·decay, untouched by m and v"
    )
    optimizers = ("adamw",)

    def move(self, name: str, W: Array, gradient: Array) -> Array:
        if W.ndim == 2:
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
        return W * (1 - self.recipe.weight_decay) if W.ndim == 2 else W


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

    def __init__(self, recipe: Recipe, what: str, factor: Callable, where: tuple) -> None:
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
        return W * (1 - self.rate * self.recipe.l2) if W.ndim == 2 else W


# --- Rounding -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """A floating-point format: its name, and the bits of its fraction with the leading 1."""

    name: str
    bits: int

    @property
    def unit(self) -> float:
        """The largest relative error of one rounding."""
        return 2.0**-self.bits

    def rounded(self, X: Array) -> Array:
        """The nearest numbers of the format, ties to even; float64 holds them."""
        if self.name == "float16":  # whose exponents are short too
            return np.asarray(X, np.float16).astype(float)
        fraction, exponent = np.frexp(X)
        return np.ldexp(np.round(fraction * 2.0**self.bits), exponent - self.bits)


FORMATS = (Format("bfloat16", 8), Format("float16", 11), Format("TF32", 11))


class RoundedOperands(Mistake):
    """What a tensor core does: both operands of a product in a short format, the sum in a long."""

    def __init__(self, recipe: Recipe, form: Format) -> None:
        super().__init__(recipe)
        self.form = form
        self.name = f"{form.name} rounding"
        self.sentence = f"the operands of the matrix products are rounded to {form.name}"

    def product(self, A: Array, B: Array) -> Array:
        return self.form.rounded(A) @ self.form.rounded(B)


# --- The order ------------------------------------------------------------------------------------


def orders(batches: list[Array], size: int) -> dict[str, tuple[str, list[Array]]]:
    """Name → sentence and batches of training in another order than the one given."""
    full = [batch for batch in batches if len(batch) == size]
    epochs = _epochs(batches)
    natural, backwards, repeated = [], [], []
    for epoch in epochs:
        count = sum(map(len, epoch))
        rows = np.sort(np.concatenate(epoch))
        natural += [rows[start : start + size] for start in range(0, count, size)]
        backwards += epoch[::-1]
        repeated += epochs[0]
    return {
        "last batch dropped": ("the last batch of an epoch, which is smaller, is dropped", full),
        "order ignored": (
            "the order differs: the images are taken as they lie in memory, not as the batches say",
            natural,
        ),
        "order reversed": (
            "the order differs: the batches are taken from last to first",
            backwards,
        ),
        "order repeated": (
            "the order differs: every epoch repeats the first one's batches",
            repeated,
        ),
    }


def _epochs(batches: list[Array]) -> list[list[Array]]:
    """Cut where an image comes again."""
    epochs: list[list[Array]] = []
    seen: set[int] = set()
    for batch in batches:
        if not epochs or seen & set(batch.tolist()):
            epochs.append([])
            seen = set()
        epochs[-1].append(batch)
        seen |= set(batch.tolist())
    return epochs
