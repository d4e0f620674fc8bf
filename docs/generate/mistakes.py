"""The page of mistakes, from the catalogue that the diagnosis runs.

What a mistake is called and how it is told may depend on the recipe, so every mistake is made in
every kind of recipe; what appears in some of them only says when it can be made.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from lockstep.diagnosis import mistakes
from lockstep.diagnosis.mistakes import CATALOGUE, FORMATS, Case, Mistake, RoundedOperands
from lockstep.diagnosis.reference import Seen
from lockstep.recipe import DIALECTS, OPTIMIZER_NUMBERS, USUAL_INITIALIZATION, Recipe

from .markdown import code, table

HIDDEN = ((), (16,), (16, 16))
"""No hidden layer, one, and two of which the second is square."""
PENALTIES, RULES = (0.0, 1e-3), ("constant", "cut")
TRAITS: dict[str, Callable[[Recipe], bool]] = {
    "a hidden layer": lambda recipe: bool(recipe.hidden),
    "a square layer": lambda recipe: len(recipe.hidden) == 2,
    "an L2 penalty": lambda recipe: recipe.l2 > 0,
    "no L2 penalty": lambda recipe: recipe.l2 == 0,
    "a schedule": lambda recipe: recipe.schedule != "constant",
    "Keras' formulas": lambda recipe: recipe.dialect == "keras",
    "PyTorch's formulas": lambda recipe: recipe.dialect == "torch",
}
"""What a recipe may have to have for a mistake to be possible, beside its optimizer."""


class Row(NamedTuple):
    """One mistake: its name in a verdict, the sentence it is told with, and where it can be."""

    name: str
    sentence: str
    needs: str


def rows(kind: type[Mistake]) -> list[Row]:
    """Every name that a class of the catalogue goes by."""
    sentences: dict[str, str] = {}
    possible: dict[str, list[Recipe]] = {}
    for case in _cases():
        for made in kind.variants(case):
            sentences.setdefault(made.name, made.sentence)
            possible.setdefault(made.name, []).append(case.recipe)
    return [Row(name, sentences[name], _needs(possible[name])) for name in sentences]


def families() -> dict[str, list[type[Mistake]]]:
    """Title → the classes of the catalogue beneath it, in their order."""
    found: dict[str, list[type[Mistake]]] = {}
    for kind in CATALOGUE:
        found.setdefault(_title(kind), []).append(kind)
    return found


def markdown() -> str:
    """A section for each family: its mistakes, and the lines that make them."""
    parts = []
    for title, kinds in families().items():
        unique = {row.name: row for kind in kinds for row in rows(kind)}
        lines = "\n\n".join(inspect.getsource(kind).strip() for kind in kinds)
        parts += [f"## {title}", _table(unique.values()), _folded("The lines changed", lines)]
    return "\n\n".join([*parts, _rounding(), _order()])


def _rounding() -> str:
    recipe = Recipe()
    made = [RoundedOperands(recipe, form) for form in FORMATS]
    return "## Rounding\n\n" + _table(Row(m.name, m.sentence, "") for m in made)


def _order() -> str:
    batches = [np.array([0, 1]), np.array([2])]
    named = mistakes.orders(batches, size=2).items()
    return "## The order\n\n" + _table(Row(name, words, "`train`") for name, (words, _) in named)


def _table(found: Iterable[Row]) -> str:
    rows = [(f"**{row.name}**", row.sentence.replace("*", "\\*"), row.needs) for row in found]
    columns = 3 if any(needs for _, _, needs in rows) else 2
    head = ("mistake", "what you read", "only with")
    return table(head[:columns], [row[:columns] for row in rows])


def _folded(title: str, source: str) -> str:
    return f"::::{{dropdown}} {title}\n```python\n{source}\n```\n::::"


@functools.cache
def _cases() -> list[Case]:
    """One step of every recipe, the plainest first."""
    kinds = (OPTIMIZER_NUMBERS, USUAL_INITIALIZATION, HIDDEN, PENALTIES, RULES, DIALECTS)
    names = ("optimizer", "activation", "hidden", "l2", "schedule", "dialect")
    chosen = (Recipe(**dict(zip(names, values, strict=True))) for values in product(*kinds))
    return [Case(recipe, [_unseen(recipe)], [{}], frozenset(recipe.shapes)) for recipe in chosen]


def _unseen(recipe: Recipe) -> Seen:
    """A step of which nothing was seen: no mistake can then be guessed from its numbers."""
    return Seen(None, np.zeros((1, recipe.inputs)), np.zeros(1, int), recipe.learning_rate, {})


def _needs(possible: Sequence[Recipe]) -> str:
    """What all the recipes in which a mistake can be made have in common."""
    found = [code(o) for o in OPTIMIZER_NUMBERS if any(r.optimizer == o for r in possible)]
    parts = [_either(found)] if len(found) <= len(OPTIMIZER_NUMBERS) / 2 else []
    traits = [trait for trait, holds in TRAITS.items() if all(map(holds, possible))]
    if "a square layer" in traits:
        traits.remove("a hidden layer")
    return ", ".join(parts + traits)


def _either(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _title(kind: type[Mistake]) -> str:
    """What the module of a class says it is about: `Mistakes in the update: …` is "The update"."""
    about = re.match(r"(?:Mistakes in )?([^.,:]+)", sys.modules[kind.__module__].__doc__)
    return about[1][0].upper() + about[1][1:]
