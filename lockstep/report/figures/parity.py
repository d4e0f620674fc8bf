"""The proof as a picture: tensor × step, each cell the largest difference from NumPy's."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...proof.comparison import Comparison
from .style import INK, QUIET, VERMILION, WIDTH, headline, styled

SMALLEST, LARGEST = -17, 0
"""The colours' range, as log10 of a difference."""
NO_NUMBER = 1e9
"""What NaN and infinity are drawn as: beyond the colours, where it is red."""


@styled
def parity(comparison: Comparison, dtype: str) -> Figure:
    """One backend beside the network by hand in one view; the tolerance stands beside each row."""
    tensors, steps = comparison.tensors, comparison.step_of(len(comparison.differences) - 1)
    figure = Figure(figsize=(WIDTH, 1.7 + 0.175 * len(tensors)), layout="constrained")
    axes = figure.subplots()
    colours = matplotlib.colormaps["viridis"].with_extremes(bad="#d9d9d9", over=VERMILION)
    with np.errstate(divide="ignore"):
        size = np.log10(np.nan_to_num(comparison.differences.T, nan=NO_NUMBER, posinf=NO_NUMBER))
    shown = np.ma.masked_array(size, np.isneginf(size))  # exactly 0
    picture = axes.imshow(
        shown, cmap=colours, vmin=SMALLEST, vmax=LARGEST, aspect="auto", interpolation="none",
        extent=(0.5, steps + 0.5, len(tensors) - 0.5, -0.5),
    )  # fmt: skip
    axes.set_yticks(range(len(tensors)), tensors, fontsize=7.5)
    _tolerances(axes, comparison)
    axes.tick_params(axis="y", length=0)
    axes.grid(False)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    _mark_undecided(axes, comparison)
    _mark_first(axes, comparison)
    bar = figure.colorbar(picture, ax=axes, location="bottom", aspect=40, pad=0.02)
    ticks = range(SMALLEST + 1, LARGEST + 1, 4)
    bar.set_ticks(list(ticks), labels=[f"1e{power}" if power else "1" for power in ticks])
    bar.set_label(
        "largest absolute difference\n(grey: exactly 0; red: above 1, or no number)", fontsize=9
    )
    bar.outline.set_visible(False)
    headline(figure, f"{comparison.backend} beside NumPy: {dtype}, {comparison.view}")
    return figure


def _tolerances(axes: Axes, comparison: Comparison) -> None:
    """The bound at the right of each row."""
    where = axes.get_yaxis_transform()
    axes.text(1.02, -1.1, "tolerance", transform=where, fontsize=7.5, color=QUIET, va="center")
    for place, bound in enumerate(comparison.bounds):
        words = f"{bound:.0e}" if np.isfinite(bound) else "shown"
        axes.text(1.02, place, words, transform=where, fontsize=7.5, color=QUIET, va="center")


def _mark_undecided(axes: Axes, comparison: Comparison) -> None:
    """A small triangle above each step in which rounding decides whether a ReLU is on."""
    steps = np.flatnonzero(comparison.undecided) + 1
    if len(steps):
        where = axes.get_xaxis_transform()
        axes.plot(steps, [1.015] * len(steps), "v", transform=where, color=QUIET, markersize=3.5,
                  clip_on=False)  # fmt: skip


def _mark_first(axes: Axes, comparison: Comparison) -> None:
    """A ring around the first number out of tolerance."""
    if comparison.first:
        step = comparison.first.step
        row = comparison.tensors.index(comparison.first.tensor)
        axes.plot(step, row, "o", markersize=11, markerfacecolor="none", markeredgewidth=2.5,
                  markeredgecolor=VERMILION, clip_on=False)  # fmt: skip
        axes.annotate(f"first: step {step}", (step, row), xytext=(9, 9), color=INK, fontsize=8,
                      textcoords="offset points", fontweight="bold",
                      bbox={"facecolor": "#ffffffdd", "edgecolor": "none", "pad": 1})  # fmt: skip
