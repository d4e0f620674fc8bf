"""What every mistake is: the reference with one line wrong, entered into one catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ...proof.trace import Numbers
from ...recipe import Recipe
from ..reference import Reference, Seen


@dataclass(frozen=True)
class Case:
    """What there is to explain: the steps that were seen, and the right numbers beside them."""

    recipe: Recipe
    steps: Sequence[Seen]
    right: Sequence[Numbers]
    wrong: frozenset[str] = field(default_factory=frozenset)
    """The weights whose gradients are seen to differ, or which differ themselves."""


class Mistake(Reference):
    """The reference, one line wrong. Two classes of one name are one mistake, made differently."""

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


class InHiddenLayers(Mistake):
    """A mistake that needs a hidden layer."""

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        if case.recipe.hidden:
            yield cls(case.recipe)


class WithOptimizer(Mistake):
    """A mistake that only some optimizers have room for."""

    optimizers: tuple[str, ...]

    @classmethod
    def variants(cls, case: Case) -> Iterator[Mistake]:
        if case.recipe.optimizer in cls.optimizers:
            yield cls(case.recipe)
