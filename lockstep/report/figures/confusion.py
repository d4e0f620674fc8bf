"""What a network confuses, and where two networks confuse differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import BLUE, FAINT, INK, WIDTH, headline, styled


@styled
def confusion_matrix(matrix: np.ndarray, classes: Sequence[str], name: str, title: str) -> Figure:
    """Counts: rows are the true classes, columns the answers; the colour shows the mistakes."""
    matrix = np.asarray(matrix)
    figure = Figure(figsize=(5.6, 5.2), layout="constrained")
    axes = figure.subplots()
    mistakes = matrix * (1 - np.eye(len(matrix), dtype=int))
    axes.imshow(mistakes, cmap="Oranges", vmin=0, vmax=max(1, mistakes.max()) * 1.8)
    for true, row in enumerate(matrix):
        for answer, count in enumerate(row):
            right = true == answer
            look = {"color": BLUE if right else INK if count else FAINT}
            _write(axes, true, answer, str(count or "·"), fontweight="bold" * right or None, **look)
    _name_classes(axes, classes)
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    accuracy = np.trace(matrix) / max(1, matrix.sum())
    headline(figure, f"{name}: {accuracy:.2%} right on {title}")
    return figure


@styled
def confusion_differences(
    matrices: Mapping[str, np.ndarray], classes: Sequence[str], title: str
) -> Figure:
    """Each network's matrix minus the first one's; a cell without a number is the same in both."""
    first, *others = matrices
    rows = -(-len(others) // 2)
    figure = Figure(figsize=(2 * WIDTH, 0.6 + 4.3 * rows), layout="constrained")
    panels = list(figure.subplots(rows, 2, squeeze=False).flat)
    for axes, name in zip(panels, others, strict=False):
        difference = np.asarray(matrices[name]) - np.asarray(matrices[first])
        most = max(1, abs(difference).max())
        axes.imshow(difference, cmap="PuOr_r", vmin=-1.6 * most, vmax=1.6 * most)
        for true, answer in np.argwhere(difference):
            _write(axes, true, answer, f"{difference[true, answer]:+d}".replace("-", "−"))
        _name_classes(axes, classes)
        axes.set_title(f"{name} minus {first}")
    for axes in panels[len(others) :]:
        axes.set_axis_off()
    headline(figure, f"Where the answers differ: {title}")
    return figure


def _write(axes: Axes, row: int, column: int, words: str, **look: Any) -> None:
    axes.text(column, row, words, ha="center", va="center", fontsize=9, **look)


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    names = [name if len(name) <= 14 else f"{name[:13]}…" for name in classes]
    long_names = max(map(len, names)) > 3
    axes.set_xticks(range(len(names)), names, rotation=45 if long_names else 0)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
