"""From somebody's numbers to the first wrong one, and to the mistake that explains it.

A mistake is named only if its program (`mistakes.py`) gives the same wrong numbers at every step,
to near rounding, and no other mistake does. What several explain is told as one of them; what
none explains is "unexplained", with the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from neural_networks import Array

from .mistakes import CATALOGUE, FORMATS, INPUTS, Case, Mistake, RoundedOperands, orders
from .program import Key, Numbers, Program, Seen
from .recipe import Recipe, Weights

KINDS = ("loss", "gradients", "weights")
"""In the order in which a step computes them."""

TOLERANCE = {"float64": 1e-9, "float32": 1e-5}
"""Of a tensor's largest number (for weights: of its largest move). Honest programs differ by about
1e-14 and 1e-6 (sums in another order, another softmax), the smallest mistake here by 1e-8."""
ROUNDING = {"float64": 1e-15, "float32": 3e-7}
"""What a sum of products loses, relative to its largest result; see `slack`."""
CLEARLY = 10.0
"""How many times better than the right program a mistake must fit to be named."""
AT_MOST = 3
"""More explanations than this explain nothing."""


class Difference(NamedTuple):
    """The first number that is not the reference's."""

    step: int
    """From 1."""
    kind: str
    tensor: str
    """"" for the loss."""
    said: Array
    right: Array
    before: Array | None
    """The weights before the update, where it is the weights that differ."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: where it shows first, and why, as far as the numbers tell."""

    step: int
    tensor: str
    kind: str
    difference: float | None
    """The largest absolute difference in that tensor; None where something is missing."""
    relative: float | None
    """The same, relative to the tensor's largest number; for weights, to their largest move."""
    evidence: str
    names: tuple[str, ...]
    """The mistakes that explain it: one, or a few that the numbers do not tell apart, or none."""
    sentences: tuple[str, ...]

    @property
    def diagnosis(self) -> str:
        """One sentence: the evidence, and what explains it."""
        if not self.names:
            return f"unexplained: {self.evidence}."
        if len(self.sentences) == 1:
            return f"{self.evidence}: {self.sentences[0]}."
        reasons = ", or ".join(self.sentences)
        return f"{self.evidence}: either {reasons}; these numbers do not tell which."


# --- How near is near -----------------------------------------------------------------------------


def precision_of(recipe: Recipe, steps: Sequence[Seen]) -> str:
    """float32 where the recipe asks for it, or where a tensor or the losses hold nothing longer."""
    said = [array for seen in steps for array in seen.said.values()]
    losses = np.array([array for array in said if not array.ndim])
    by_chance = 4  # so many different numbers may happen to be short: 0, 1/32, …
    for array in (losses, *(array for array in said if array.ndim)):
        short = np.array_equal(array, array.astype(np.float32))
        if short and len(np.unique(array)) > by_chance:
            return "float32"
    return recipe.dtype


class Nudged(Program):
    """The right program with honest rounding, exaggerated: what may differ without a mistake.

    ReLU may fall on the other side of 0, Adam makes a full step of a gradient that is nothing but
    rounding, and a probability near 1 is rounded as 1 is, however small its logarithm and P - Y:
    there the numbers of two right programs are far apart.
    """

    def __init__(self, recipe: Recipe, size: float, seed: int) -> None:
        super().__init__(recipe)
        self.size, self.rng = size, np.random.default_rng(seed)

    def nudged(self, X: Array, largest: float | None = None) -> Array:
        largest = float(np.abs(X).max()) if largest is None else largest
        return X + self.size * largest * self.rng.uniform(-1, 1, X.shape)

    def biased(self, Z: Array, b: Array) -> Array:
        return self.nudged(super().biased(Z, b))

    def loss(self, Z: Array, y: Array) -> float:
        return float(self.nudged(np.array(super().loss(Z, y)), largest=1.0))

    def output_derivative(self, Z: Array, y: Array) -> Array:
        return self.nudged(super().output_derivative(Z, y), largest=1 / len(y))

    def collected(self, gradients: Weights) -> Weights:
        return {name: self.nudged(g) for name, g in gradients.items()}


Errors = dict[str, float]
"""Kind of number → the largest error, in units of what is allowed."""
Hopeless = Callable[[set[str]], Any]
"""Takes the kinds of which some number is off; whether it is no use to look further."""


class Judge:
    """Holds numbers against what was said."""

    def __init__(self, recipe: Recipe, steps: Sequence[Seen]) -> None:
        self.recipe, self.steps = recipe, steps
        self.precision = precision_of(recipe, steps)
        self.right = list(Program(recipe).run(steps))
        self.before: list[Weights] = []
        self.updates: list[int] = []  # since the weights before were seen
        for seen in steps:
            self.before.append(self.before[-1] if seen.weights is None else seen.weights)
            self.updates.append(1 if seen.weights is not None else self.updates[-1] + 1)
        self.slack = self._slack()

    def _slack(self) -> list[Numbers]:
        """How far honest rounding may carry each number."""
        size = ROUNDING[self.precision]
        runs = [list(Nudged(self.recipe, size, seed).run(self.steps)) for seed in range(4)]
        return [
            {
                key: 4 * np.sum([abs(run[i][key] - number) for run in runs], axis=0)
                for key, number in at.items()
            }
            for i, at in enumerate(self.right)
        ]

    def error(self, i: int, key: Key, numbers: Numbers) -> float:
        """How far step i's number is from these, in units of what is allowed: above 1 is wrong."""
        said, computed, right = self.steps[i].said[key], numbers[key], self.right[i][key]
        if not np.isfinite(computed).all():
            return np.inf
        size, usual = (self.size(i, key, number) for number in (computed, right))
        grown = max(1.0, size / usual) if usual else 1.0
        allowed = TOLERANCE[self.precision] * size + grown * self.slack[i][key]
        if key[0] == "weights":  # every move is rounded to what the weight can hold
            rounding = 2 * self.updates[i] * np.finfo(self.precision).eps
            allowed = allowed + rounding * np.abs(computed)
        off = np.abs(said - computed)
        return float(np.max(off / np.maximum(allowed, np.finfo(float).tiny)))

    def size(self, i: int, key: Key, number: Array) -> float:
        """A tensor's largest number, or, for weights, its largest move."""
        if key[0] == "weights":
            number = number - self.before[i][key[1]]
        return float(np.abs(number).max())

    def errors(self, program: Iterable[Numbers], hopeless: Hopeless | None = None) -> Errors:
        """The largest error of each kind of number that was said.

        Most mistakes are not the one: once `hopeless` says so, the program is run no further.
        """
        worst = {key[0]: 0.0 for seen in self.steps for key in seen.said}
        for i, numbers in enumerate(program):
            for key in self.steps[i].said:
                if worst[key[0]] <= 1 or hopeless is None:
                    worst[key[0]] = max(worst[key[0]], self.error(i, key, numbers))
            if hopeless and hopeless({kind for kind, error in worst.items() if error > 1}):
                break
        return worst

    def differences(self, kinds: Sequence[str] = KINDS) -> Iterable[Difference]:
        """Every tensor that is not the reference's, in the order in which it was computed."""
        for i, seen in enumerate(self.steps):
            for key, right in self.right[i].items():
                if key in seen.said and key[0] in kinds and self.error(i, key, self.right[i]) > 1:
                    before = self.before[i][key[1]] if key[0] == "weights" else None
                    yield Difference(i + 1, *key, seen.said[key], right, before)


# --- Why ------------------------------------------------------------------------------------------


def explain(recipe: Recipe, steps: Sequence[Seen]) -> list[Finding]:
    """What is wrong in these steps, each with its explanation; [] if every number is right.

    One mistake that explains everything is preferred; else the loss, the gradients and the update
    are explained apart, for each was judged from what was seen to go into it.
    """
    judge = Judge(recipe, steps)
    right = judge.errors(judge.right)
    bad = [kind for kind in KINDS if right.get(kind, 0) > 1]
    if not bad:
        return []
    good = set(right) - set(bad)
    wrong = frozenset(d.tensor for d in judge.differences() if d.tensor)
    found = [
        (program, judge.errors(program.run(steps), lambda off: off & good or off >= set(bad)))
        for program in candidates(Case(recipe, steps, judge.right, wrong))
    ]
    found = [(program, errors) for program, errors in found if _spares(errors, good)]
    findings, rest = [], bad
    while rest:
        part, fitting = _longest(rest, right, found)
        findings.append(_finding(judge, part, fitting))
        rest = rest[len(part) :]
    if not all(finding.names for finding in findings):
        rounding = _rounding(judge, bad)
        if rounding:
            return [_finding(judge, bad, rounding)]
    return findings


def candidates(case: Case) -> Iterable[Mistake]:
    """Every way to make every mistake of the catalogue in this case."""
    for kind in CATALOGUE:
        yield from kind.variants(case)


def _spares(errors: Errors, kinds: Iterable[str]) -> bool:
    """Whether these kinds of numbers are as they were said."""
    return all(errors[kind] <= 1 for kind in kinds)


def _longest(
    rest: Sequence[str], right: Errors, found: Sequence[tuple[Mistake, Errors]]
) -> tuple[Sequence[str], list[Mistake]]:
    """As many of the kinds, from the first on, as one mistake explains; and what explains them."""
    for count in range(len(rest), 0, -1):
        part = rest[:count]
        clear = {kind: min(1, right[kind] / CLEARLY) for kind in part}
        fitting = [p for p, errors in found if all(errors[k] <= clear[k] for k in part)]
        if fitting:
            return part, fitting
    return rest[:1], []


def _finding(judge: Judge, kinds: Sequence[str], fitting: Sequence[Mistake]) -> Finding:
    first = next(iter(judge.differences(kinds)))
    told = {program.name: program.sentence for program in fitting}
    if len(told) > AT_MOST:
        told = {}
    return finding(first, told)


def finding(first: Difference, told: dict[str, str]) -> Finding:
    """A finding from its first difference and the names and sentences of what explains it."""
    off = float(np.abs(first.said - first.right).max())
    moved = first.right if first.before is None else first.right - first.before
    size = float(np.abs(moved).max())
    return Finding(
        first.step,
        first.tensor,
        first.kind,
        off,
        off / size if size else None,
        evidence(first),
        tuple(told),
        tuple(told.values()),
    )


def _rounding(judge: Judge, bad: Sequence[str]) -> Sequence[Mistake]:
    """The short formats whose rounding explains all that differs.

    Two roundings are never equal in every bit, so this looks at sizes. Either every number that
    was said is one of the format's, and none is far off; or rounding the products' operands to the
    format leaves a tenth of the difference.
    """
    apart = _distances(judge, bad, judge.right)
    keys = ("gradients",) if "gradients" in bad else ("weights",)
    arrays = [a for seen in judge.steps for key, a in seen.said.items() if key[0] in keys]
    whole = [a for a in arrays if np.count_nonzero(a) >= 8]
    for form in FORMATS[:2]:
        if whole and all(np.array_equal(form.rounded(a), a) for a in whole):
            near = max(apart.values()) < 32 * form.unit
            return [RoundedOperands(judge.recipe, form)] if near else []
    if max(apart.values()) > 1:
        return []
    programs = [RoundedOperands(judge.recipe, form) for form in FORMATS]
    return [program for program in programs if _closer(judge, bad, program, apart)]


def _closer(judge: Judge, bad: Sequence[str], program: Program, apart: dict[Key, float]) -> bool:
    """Whether the program leaves a tenth of the distance, in every tensor that is off."""
    left = _distances(judge, bad, list(program.run(judge.steps)))
    near = TOLERANCE[judge.precision]
    return all(left[key] < max(distance / CLEARLY, near) for key, distance in apart.items())


def _distances(judge: Judge, kinds: Sequence[str], numbers: Sequence[Numbers]) -> dict[Key, float]:
    """Each tensor's relative distance from what was said, by root mean square, the median step's.

    (The last step, with its large logits, makes more of a rounding than the others do.)
    """
    found: dict[Key, list[float]] = {}
    for seen, computed in zip(judge.steps, numbers, strict=True):
        for key in (key for key in seen.said if key[0] in kinds):
            off = ((seen.said[key] - computed[key]) ** 2).sum()
            size = (computed[key] ** 2).sum() or 1
            found.setdefault(key, []).append(float(np.sqrt(off / size)))
    return {key: float(np.median(distances)) for key, distances in found.items()}


# --- In words -------------------------------------------------------------------------------------


def evidence(first: Difference) -> str:
    """What the numbers show at the first difference, without a why."""
    where = f"at step {first.step}"
    if first.kind == "loss":
        times = float(first.said / first.right) if first.right else 0.0
        far = f", {times:.4g} times as much" if abs(times - 1) > 0.01 else ""
        return f"the loss is {first.said:.9g} {where}, where {first.right:.9g} is right{far}"
    if first.before is None:
        what, said, right = f"the gradients of {first.tensor}", first.said, first.right
        nothing, opposite, verb = "are all 0", "have the opposite sign", "are"
        large, small = "large", "small"
    else:
        what, said, right = first.tensor, first.said - first.before, first.right - first.before
        nothing, opposite, verb = "is not moved", "is moved the opposite way", "is moved"
        large, small = "far", "little"
    if not said.any():
        return f"{what} {nothing} {where}"
    ratio = _constant_ratio(said, right)
    if ratio is None:
        return f"{what} {_worst(first)} {where}"
    if abs(ratio + 1) < 1e-6:
        return f"{what} {opposite} {where}, everywhere"
    factor, size = (ratio, large) if abs(ratio) > 1 else (1 / ratio, small)
    return f"{what} {verb} {factor:.4g} times too {size} {where}, everywhere"


def _constant_ratio(said: Array, right: Array) -> float | None:
    """said / right, if it is the same in every number that is not all but 0, and clearly not 1."""
    clear = np.abs(right) > 1e-3 * np.abs(right).max()
    if not clear.any() or np.abs(said[~clear]).max(initial=0) > np.abs(said).max():
        return None
    ratios = said[clear] / right[clear]
    ratio = float(np.median(ratios))
    tells = ratio and abs(ratio - 1) > 0.01
    return ratio if tells and np.allclose(ratios, ratio, rtol=1e-3, atol=0) else None


def _worst(first: Difference) -> str:
    off = np.abs(first.said - first.right)
    at = tuple(map(int, np.unravel_index(off.argmax(), off.shape)))
    place = f"[{', '.join(map(str, at))}]"
    differ = "differs" if first.before is not None else "differ"
    share = np.count_nonzero(off > off.max() / 1000) / off.size
    return (
        f"{differ} in {share:.0%} of the numbers, most at {place}: {first.said[at]:.9g} where "
        f"{first.right[at]:.9g} is right,"
    )


# --- The other two forms: preparing the pixels, and training --------------------------------------


def explain_inputs(prepared: Array, right: Array) -> list[Finding]:
    """What is wrong with prepared pixels (N, inputs), beside the rightly scaled ones."""
    tolerance = TOLERANCE["float32"]  # pixels are whole numbers: nothing hides between
    if np.abs(prepared - right).max() <= tolerance:
        return []
    told = {}
    for name, (sentence, change) in INPUTS.items():
        wrong = change(right)
        if np.abs(prepared - wrong).max() <= tolerance * np.abs(wrong).max():
            told[name] = sentence
    said = f"prepared pixels run from {prepared.min():.4g} to {prepared.max():.4g}"
    words = f"{said}, where {right.min():.4g} to {right.max():.4g} is right"
    off = float(np.abs(prepared - right).max())
    return [Finding(0, "images", "images", off, off, words, tuple(told), tuple(told.values()))]


class Trained(NamedTuple):
    """What a training function returned."""

    losses: Array | None
    """(batches,)"""
    weights: Weights | None
    still: Array | None
    """(batches,): the losses of a training with learning rate 0, which tell the order alone."""


def explain_training(
    recipe: Recipe,
    batches: list[Array],
    see: Callable[[list[Array], Array | None, Weights | None, float], list[Seen]],
    trained: Trained,
) -> list[Finding]:
    """What is wrong in a training over these batches.

    `see(batches, losses, weights, rate factor)` makes its steps, of which only the first one's
    weights were seen.
    """
    count = len(batches) if trained.losses is None else len(trained.losses)
    if count == len(batches):
        findings = explain(recipe, see(batches, trained.losses, trained.weights, 1.0))
        if all(finding.names for finding in findings):
            return findings
    told = {}
    for name, (sentence, other) in orders(batches, recipe.batch_size).items():
        fits = trained.losses is None or len(other) == count
        if fits and not differs(recipe, see(other, trained.losses, trained.weights, 1.0)):
            told[name] = sentence
    if count != len(batches):
        where = f"training returned {count} losses for {len(batches)} batches"
        at = min(count, len(batches))
        return [Finding(at, "", "loss", None, None, where, tuple(told), tuple(told.values()))]
    if not told and _same_sum(recipe, batches, see, trained.still):
        told["order differs"] = (
            "the order differs: at learning rate 0 the losses are not those of the batches, yet "
            "they add up to the same, so it is the same images in another order"
        )
    judge = Judge(recipe, see(batches, trained.losses, trained.weights, 1.0))
    return [finding(next(iter(judge.differences())), told)]


def differs(recipe: Recipe, steps: Sequence[Seen]) -> bool:
    """Whether any number is not the reference's."""
    judge = Judge(recipe, steps)
    return any(error > 1 for error in judge.errors(judge.right).values())


def _same_sum(recipe: Recipe, batches: list[Array], see: Callable, still: Array | None) -> bool:
    """Whether losses at learning rate 0 differ batch by batch and agree in their sum."""
    if still is None or len(still) != len(batches):
        return False
    judge = Judge(recipe, see(batches, still, None, 0.0))
    right = np.array([float(numbers["loss", ""]) for numbers in judge.right])
    sizes = np.array([len(batch) for batch in batches])
    total, off = float(sizes @ right), abs(float(sizes @ (still - right)))
    apart = np.abs(still - right).max() / np.abs(right).max()
    near = TOLERANCE[judge.precision]
    return off < near * total and apart > CLEARLY * near
