"""What the ladder shows, in numbers and in one paragraph."""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass
from typing import Any

from ..recipe import Recipe
from ..statistics import points, significance
from .ladder import Rung

SCHEMA = 1
TOLERANCE = 1e-12
"""No weight of two programs that are the same differs by more, in float64."""


@dataclass(frozen=True)
class Explanation:
    """The ladder, the reverse, and how much another seed changes by itself."""

    left: str
    right: str
    versions: dict[str, str]
    data: str
    recipe: Recipe
    steps: int
    seeds: tuple[int, ...]
    ladder: tuple[Rung, ...]
    undone: tuple[Rung, ...]
    """What matters most comes first: by the weights at the end."""
    test_accuracies: tuple[float, ...]
    """Of the right program as everyone writes it, for each seed, in percent."""
    reported_accuracies: tuple[float, ...]

    @property
    def aligned(self) -> bool:
        """Whether the ladder ends where it should: no weight differs by more than TOLERANCE."""
        return self.ladder[-1].worst <= TOLERANCE

    def accuracy_verdict(self, rung: Rung) -> str:
        """What can be said of the difference in test accuracy: a word of `significance`."""
        return significance([d.accuracy for d in rung.differences], self.test_accuracies)

    def reported_verdict(self, rung: Rung) -> str:
        """The same of the reported training accuracy."""
        return significance([d.reported for d in rung.differences], self.reported_accuracies)

    @property
    def conclusion(self) -> str:
        """One paragraph that says what the numbers say, and no more."""
        sentences = (_start, _end, _ranking, _effects, _reports)
        return " ".join(filter(None, (sentence(self) for sentence in sentences)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON, the table and the figure."""
        return {
            "schema": SCHEMA,
            "left": self.left,
            "right": self.right,
            "versions": self.versions,
            "dataset": self.data,
            "recipe": self.recipe.to_dict(),
            "steps": self.steps,
            "seeds": list(self.seeds),
            "tolerance": TOLERANCE,
            "aligned": self.aligned,
            "test_accuracies": list(self.test_accuracies),
            "reported_accuracies": list(self.reported_accuracies),
            "ladder": [self._row(rung) for rung in self.ladder],
            "undone": [self._row(rung) for rung in self.undone],
            "conclusion": self.conclusion,
        }

    def _row(self, rung: Rung) -> dict[str, Any]:
        found = rung.differences
        return {
            "aspect": rung.aspect,
            "title": rung.title,
            "change": rung.change,
            "left": dataclasses.asdict(rung.left),
            "right": dataclasses.asdict(rung.right),
            "weights": {str(step): [d.weights[step] for d in found] for step in found[0].weights},
            "loss": [d.loss for d in found],
            "accuracy": [d.accuracy for d in found],
            "accuracy_verdict": self.accuracy_verdict(rung),
            "reported": [d.reported for d in found],
            "reported_verdict": self.reported_verdict(rung),
        }


def _start(found: Explanation) -> str:
    first = found.ladder[0]
    accuracy = points([d.accuracy for d in first.differences])
    seeds = f"{len(found.seeds)} seed{'s' if len(found.seeds) > 1 else ''}"
    judged = {
        "none": "which is no difference",
        "unknown": "which one seed cannot tell from noise",
        "noise": "which is noise beside what another seed does",
        "effect": "more than what another seed does",
    }[found.accuracy_verdict(first)]
    return (
        f"As everyone writes them, the programs in {found.left} and {found.right} end "
        f"{found.steps} steps of {found.data}, from {seeds}, with a weight {first.apart:.2g} "
        f"apart; {found.left}'s test accuracy is {accuracy} points from {found.right}'s, {judged}."
    )


def _end(found: Explanation) -> str:
    last = found.ladder[-1]
    if found.aligned:
        return f"With everything aligned, no weight ever differs by more than {last.worst:.1e}."
    return (
        f"With everything aligned, a weight still differs by {last.worst:.1e}, more than "
        f"{TOLERANCE:.0e}: an alignment does nothing, or what separates the two is not on the list."
    )


def _ranking(found: Explanation) -> str:
    """Which choices move the weights; while something else does too, nothing can be said."""
    if not found.aligned:
        return "So nothing that is undone alone can be told apart from it."
    moved = [rung for rung in found.undone if rung.worst > TOLERANCE]
    still = [rung.title for rung in found.undone if rung.worst <= TOLERANCE]
    sentences = []
    if moved:
        order = ", ".join(f"{rung.title} ({rung.apart:.1e})" for rung in moved)
        sentences.append(f"Undone alone, these move the weights, the most first: {order}.")
    if still:
        sentences.append(f"No weight is moved by {_listed(still)}.")
    return " ".join(sentences)


def _effects(found: Explanation) -> str:
    if not found.aligned:
        return ""
    if len(found.seeds) == 1:
        return "A single seed cannot say what any of them does to the test accuracy."
    effects = [
        f"{rung.title} alone ({points([d.accuracy for d in rung.differences])} points)"
        for rung in found.undone
        if found.accuracy_verdict(rung) == "effect"
    ]
    spread = statistics.stdev(found.test_accuracies)
    noise = f"another seed by itself moves it by {spread:.2f} points"
    if not effects:
        return f"None of them alone does anything to the test accuracy beyond noise: {noise}."
    return f"The test accuracy is changed beyond noise by {_listed(effects)}; {noise}."


def _reports(found: Explanation) -> str:
    """What a metric makes of the very same weights."""
    for rung in found.undone:
        same_weights = found.aligned and rung.worst <= TOLERANCE
        if same_weights and found.reported_verdict(rung) == "effect":
            change = points([d.reported for d in rung.differences])
            return (
                f"The {rung.title} alone moves the reported training accuracy by {change} points, "
                "with the very same weights."
            )
    return ""


def _listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
