"""Why two programs differ: `explain`'s ladder, one choice aligned after the other, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..sentences import accuracy_words
from .style import AMBER, BLUE, FAINT, GREEN, INK, PAPER, QUIET, headline, logarithmic, styled

STEP_LOOKS = (
    {"color": AMBER, "marker": "o"},
    {"color": GREEN, "marker": "s"},
    {"color": BLUE, "marker": "D"},
)
SMALLEST = 1e-17
"""What a difference of exactly 0 is drawn at, on an axis that has no 0."""


@styled
def ladder(explanation: Mapping[str, Any]) -> Figure:
    """Two programs' weights apart: as one thing after the other is aligned, and with one undone.

    `explanation` is what `Explanation.to_dict` gives. A small mark is a seed, a large one their
    median; in the grey, up to the tolerance, the difference is rounding.
    """
    rungs, undone = explanation["ladder"], explanation["undone"]
    height = 1.7 + 0.5 * max(len(rungs), len(undone))
    figure = Figure(figsize=(11.5, height), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True)
    _rungs(panels[0], rungs, explanation)
    _rungs(panels[1], undone, explanation)
    panels[0].set_title("aligned one after the other")
    panels[1].set_title("all aligned, one undone alone")
    left, right = explanation["left"], explanation["right"]
    title = f"Why {left} and {right} differ on {explanation['dataset']}"
    headline(figure, title)
    caption = (
        f"Small marks are seeds ({len(explanation['seeds'])}), large ones their median. "
        f"Test accuracy: {left} minus {right}, mean ± standard deviation; bold where it is more "
        "than another seed does."
    )
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=9, color=QUIET)
    panels[0].legend(
        handles=_step_legend(explanation),
        loc="lower right",
        bbox_to_anchor=(1.0, 1.045),
        ncols=3,
        handletextpad=0.2,
        columnspacing=1.2,
    )
    return figure


def _rungs(axes: Axes, rungs: Sequence[Mapping[str, Any]], explanation: Mapping[str, Any]) -> None:
    """One row for each pair of programs: its name, its marks, what the test accuracy does."""
    tolerance, looks = explanation["tolerance"], _step_looks(explanation)
    for place, rung in enumerate(rungs):
        rows = np.linspace(-0.22, 0.22, len(looks)) + place  # one for each checkpoint
        medians = []
        for row, values, look in zip(rows, rung["weights"].values(), looks, strict=True):
            seeds = np.maximum(values, SMALLEST)
            axes.plot(seeds, [row] * len(seeds), linestyle="", markersize=3, alpha=0.5, **look)
            medians.append(float(np.median(seeds)))
            axes.plot(medians[-1], row, markersize=7, markeredgecolor=PAPER, zorder=3, **look)
        axes.plot(medians, rows, color=FAINT, linewidth=1.5, zorder=1)
        effect = rung["accuracy_verdict"] == "effect"
        look = {"color": INK, "weight": "bold"} if effect else {"color": QUIET}
        words = accuracy_words(rung["accuracy"], rung["accuracy_verdict"])
        _beside(axes, words, place, va="center", **look)
    _beside(axes, "test accuracy (points)", -0.6, va="bottom", color=QUIET)
    names = [f"{rung['title']}\n{rung['change']}".strip() for rung in rungs]
    axes.set_yticks(range(len(rungs)), names, fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_ylim(len(rungs) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.set_xlim(SMALLEST / 3, 10)
    logarithmic(axes.xaxis, SMALLEST, 10)
    axes.set_xlabel("largest difference of a weight")
    axes.axvspan(SMALLEST / 3, tolerance, color="#F3F3F3", zorder=0)
    middle = (SMALLEST / 3 * tolerance) ** 0.5
    axes.text(middle, -0.42, "rounding", ha="center", va="top", fontsize=9, color=QUIET)


def _beside(axes: Axes, words: str, place: float, **look: Any) -> None:
    """Words to the right of the axes, at a row."""
    where = axes.get_yaxis_transform()  # across in shares of the axes, down in rows
    axes.text(1.02, place, words, transform=where, fontsize=9, **look)


def _step_looks(explanation: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """One look for each checkpoint; the last step has the last look, however few there are."""
    return STEP_LOOKS[-len(explanation["ladder"][0]["weights"]) :]


def _step_legend(explanation: Mapping[str, Any]) -> list[Line2D]:
    steps = explanation["ladder"][0]["weights"]
    return [
        Line2D([], [], linestyle="", label=f"after {step} step{'s' * (step != '1')}", **look)
        for step, look in zip(steps, _step_looks(explanation), strict=True)
    ]
