"""From somebody's numbers to the first wrong one, and to the mistake that explains it.

In go the steps that were seen; out come findings, each with its first wrong number. A mistake is
named only if its class (in `mistakes/`) gives the same wrong numbers at every step, to near
rounding, and no other mistake does. What several explain is told as one of them; what none explains
is "unexplained", with the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ..by_hand.arrays import Array
from ..layouts import Weights
from ..proof.trace import KINDS, Number, Numbers, of_kind
from ..recipe import Recipe
from .evidence import evidence
from .judge import CLEARLY, TOLERANCE, Difference, Errors, Judge
from .mistakes import CATALOGUE, FORMATS, INPUTS, Case, Mistake, RoundedOperands, orders
from .reference import Seen
from .verdict import Finding

AT_MOST = 3
"""More explanations than this explain nothing."""


def diagnose_steps(recipe: Recipe, steps: Sequence[Seen]) -> list[Finding]:
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
    wrong = frozenset(d.number.tensor for d in judge.differences() if d.number.tensor)
    found = [
        (mistake, judge.errors(mistake.run(steps), lambda off: off & good or off >= set(bad)))
        for mistake in candidates(Case(recipe, steps, judge.right, wrong))
    ]
    found = [(mistake, errors) for mistake, errors in found if _spares(errors, good)]
    findings, rest = [], bad
    while rest:
        part, fitting = _longest(rest, right, found)
        findings.append(_explained(judge, part, fitting))
        rest = rest[len(part) :]
    if not all(finding.names for finding in findings):
        rounding = _rounding(judge, bad)
        if rounding:
            return [_explained(judge, bad, rounding)]
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
        fitting = [m for m, errors in found if all(errors[k] <= clear[k] for k in part)]
        if fitting:
            return part, fitting
    return rest[:1], []


def _explained(judge: Judge, kinds: Sequence[str], fitting: Sequence[Mistake]) -> Finding:
    """A finding from the first number of these kinds that is wrong, and what explains them."""
    first = next(iter(judge.differences(kinds)))
    told = {mistake.name: mistake.sentence for mistake in fitting}
    if len(told) > AT_MOST:
        told = {}
    return _finding(first, told)


def _finding(first: Difference, told: dict[str, str]) -> Finding:
    """A finding from its first difference and the names and sentences of what explains it."""
    off = float(np.abs(first.said - first.right).max())
    size = float(np.abs(first.moved(first.right)).max())
    return Finding(
        first.step,
        first.number.tensor,
        first.number.kind,
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
    kind = "gradient" if "gradient" in bad else "weight"
    arrays = [a for seen in judge.steps for a in of_kind(seen.said, kind).values()]
    whole = [a for a in arrays if np.count_nonzero(a) >= 8]
    for form in FORMATS[:2]:
        if whole and all(np.array_equal(form.rounded(a), a) for a in whole):
            near = max(apart.values()) < 32 * form.unit
            return [RoundedOperands(judge.recipe, form)] if near else []
    if max(apart.values()) > 1:
        return []
    roundings = [RoundedOperands(judge.recipe, form) for form in FORMATS]
    return [rounding for rounding in roundings if _closer(judge, bad, rounding, apart)]


def _closer(
    judge: Judge, bad: Sequence[str], rounding: Mistake, apart: dict[Number, float]
) -> bool:
    """Whether the rounding leaves a tenth of the distance, in every number that is off."""
    left = _distances(judge, bad, list(rounding.run(judge.steps)))
    near = TOLERANCE[judge.precision]
    return all(left[number] < max(distance / CLEARLY, near) for number, distance in apart.items())


def _distances(judge: Judge, kinds: Sequence[str], run: Sequence[Numbers]) -> dict[Number, float]:
    """Each number's relative distance from what was said, by root mean square, the median step's.

    (The last step, with its large logits, makes more of a rounding than the others do.)
    """
    found: dict[Number, list[float]] = {}
    for seen, computed in zip(judge.steps, run, strict=True):
        for number in (number for number in seen.said if number.kind in kinds):
            off = ((seen.said[number] - computed[number]) ** 2).sum()
            size = (computed[number] ** 2).sum() or 1
            found.setdefault(number, []).append(float(np.sqrt(off / size)))
    return {number: float(np.median(distances)) for number, distances in found.items()}


def diagnose_inputs(prepared: Array, right: Array) -> list[Finding]:
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


See = Callable[[list[Array], Array | None, Weights | None, float], list[Seen]]
"""Makes a training's steps from batches, losses, weights at its end and a factor of the rate; only
the first one's weights were seen."""


def diagnose_training(
    recipe: Recipe,
    batches: list[Array],
    see: See,
    trained: Trained,
) -> list[Finding]:
    """What is wrong in a training over these batches, whose steps `see` makes."""
    count = len(batches) if trained.losses is None else len(trained.losses)
    if count == len(batches):
        findings = diagnose_steps(recipe, see(batches, trained.losses, trained.weights, 1.0))
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
    return [_finding(next(iter(judge.differences())), told)]


def differs(recipe: Recipe, steps: Sequence[Seen]) -> bool:
    """Whether any number is not the reference's."""
    judge = Judge(recipe, steps)
    return any(error > 1 for error in judge.errors(judge.right).values())


def _same_sum(recipe: Recipe, batches: list[Array], see: See, still: Array | None) -> bool:
    """Whether losses at learning rate 0 differ batch by batch and agree in their sum."""
    if still is None or len(still) != len(batches):
        return False
    judge = Judge(recipe, see(batches, still, None, 0.0))
    right = np.array([float(numbers[Number("loss")]) for numbers in judge.right])
    sizes = np.array([len(batch) for batch in batches])
    total, off = float(sizes @ right), abs(float(sizes @ (still - right)))
    apart = np.abs(still - right).max() / np.abs(right).max()
    near = TOLERANCE[judge.precision]
    return off < near * total and apart > CLEARLY * near
