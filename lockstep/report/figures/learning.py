"""What a network learns: loss and accuracy against epoch, and the accuracy of every seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...runs.records import BackendResult, Epoch
from ...statistics import interval
from .style import (
    BLUE,
    GREEN,
    INK,
    PAPER,
    QUIET,
    VERMILION,
    WIDTH,
    headline,
    logarithmic,
    look,
    styled,
)

Histories = Mapping[str, Sequence[Epoch]]
"""One history for each backend."""

PARTS = {"train": "training", "test": "test"}
SMALLEST_GAP = 1e-8
"""What a smaller gap is drawn at, on an axis that has no 0."""


@styled
def loss_against_epoch(histories: Histories, title: str) -> Figure:
    """Mean cross-entropy on the training and on the test set; beneath, the gap between backends."""
    return _against_epoch(histories, "loss", "mean cross-entropy (nats)", f"Loss on {title}")


@styled
def accuracy_against_epoch(histories: Histories, title: str) -> Figure:
    """Share of right answers in percent, likewise."""
    return _against_epoch(histories, "accuracy", "right answers (%)", f"Accuracy on {title}", 100)


def values(histories: Histories, key: str, factor: float = 1) -> np.ndarray:
    """(backends, epochs): one figure of every history, as far as the shortest goes."""
    epochs = min(len(history) for history in histories.values())
    return factor * np.array(
        [[getattr(row, key) for row in h[:epochs]] for h in histories.values()]
    )


def gap(histories: Histories, key: str, factor: float = 1) -> np.ndarray:
    """(epochs,): the largest difference between any two backends."""
    found = values(histories, key, factor)
    return found.max(axis=0) - found.min(axis=0)


def _against_epoch(
    histories: Histories, measure: str, unit: str, title: str, factor: float = 1
) -> Figure:
    several = len(histories) > 1
    alone = max(len(history) for history in histories.values()) == 1  # a line of one is no line
    figure = Figure(figsize=(WIDTH, 4.6 if several else 3.2), layout="constrained")
    rows = figure.subplots(1 + several, 1, sharex=True, height_ratios=[3, 1.25][: 1 + several])
    curves, *beneath = np.atleast_1d(rows)
    for place, (name, history) in enumerate(histories.items()):
        for part in PARTS:
            epochs = [row.epoch for row in history]
            points = [factor * getattr(row, f"{part}_{measure}") for row in history]
            marks = {"marker": "o", "markersize": 3.5} if part == "test" or alone else {}
            if alone and part == "train":
                marks |= {"markerfacecolor": PAPER, "markersize": 6}
            curves.plot(epochs, points, label=name * (part == "test"), **marks, **look(place))
    if _bundled(histories, measure):
        _name_the_bundles(curves, histories, measure, factor)
    else:
        words = "full: test set, hollow: training set" if alone else "dots: test set"
        curves.text(0.02, 0.03, words, transform=curves.transAxes, fontsize=8.5, color=QUIET)
    curves.set_ylabel(unit)
    if several:
        curves.legend(*_named(curves), loc="lower left", bbox_to_anchor=(-0.02, 1),
                      ncols=_columns(histories), handlelength=2.6, columnspacing=1.1,
                      borderpad=0.2, fontsize=9)  # fmt: skip
        _gap_panel(beneath[0], histories, measure, factor)
    bottom = (beneath or [curves])[0]
    bottom.set_xlabel("epoch")
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    headline(figure, title)
    return figure


def _columns(names: Iterable[str]) -> int:
    """How many names stand side by side above a figure; some 58 letters fit, lines included."""
    return max(1, 58 // (4 + max(map(len, names))))


def _named(axes: Axes) -> tuple[list[Any], list[str]]:
    """Lines and labels for a legend; a framework's two curves are one entry."""
    pairs = zip(*axes.get_legend_handles_labels(), strict=True)
    lines, labels = zip(*[pair for pair in pairs if pair[1]], strict=True)
    return list(lines), list(labels)


def _bundled(histories: Histories, measure: str) -> bool:
    """Whether the curves end in two bundles, training and test, that can be named as such."""
    ends = [[getattr(h[-1], f"{part}_{measure}") for h in histories.values()] for part in PARTS]
    wide = max(np.ptp(bundle) for bundle in ends)
    same_length = len({len(history) for history in histories.values()}) == 1
    return same_length and wide <= max(0.02, abs(np.mean(ends[0]) - np.mean(ends[1])))


def _name_the_bundles(axes: Axes, histories: Histories, measure: str, factor: float) -> None:
    """Write "training" and "test" beside the ends of the curves, apart from one another."""
    rows = histories.values()
    ends = {
        part: factor * float(np.mean([getattr(h[-1], f"{part}_{measure}") for h in rows]))
        for part in PARTS
    }
    low, high = axes.get_ylim()
    apart = abs(ends["train"] - ends["test"])
    push = max(0.0, 0.07 * (high - low) - apart) / 2
    upper = max(ends, key=lambda part: ends[part])
    last = max(row.epoch for history in rows for row in history)
    for part, end in ends.items():
        y = end + (push if part == upper else -push)
        axes.annotate(PARTS[part], (last, y), xytext=(7, 0), textcoords="offset points",
                      va="center", color=QUIET, annotation_clip=False)  # fmt: skip


def _gap_panel(axes: Axes, histories: Histories, measure: str, factor: float) -> None:
    """The largest difference between any two backends, on a logarithmic axis."""
    looks = {"train": (GREEN, "s-"), "test": (VERMILION, "o-")}
    for part, words in PARTS.items():
        apart = np.maximum(gap(histories, f"{part}_{measure}", factor), SMALLEST_GAP)
        colour, line = looks[part]
        axes.plot(range(1, len(apart) + 1), apart, line, color=colour,
                  label=words, markersize=3.5)  # fmt: skip
    axes.set_yscale("log")
    low, high = (np.log10(end) for end in axes.dataLim.intervaly)
    limits = 10 ** np.floor(low - 0.1), 10 ** np.ceil(high + 0.1)  # whole decades
    axes.set_ylim(*limits)
    logarithmic(axes.yaxis, *limits)
    axes.set_ylabel("gap")
    axes.set_title("largest gap between any two", fontsize=8.5, color=QUIET, pad=3)
    axes.legend(loc="lower right", bbox_to_anchor=(1.03, 0.96), ncols=2, fontsize=8.5,
                handlelength=1.3, columnspacing=0.8, borderpad=0.1)  # fmt: skip


@styled
def accuracy_by_seed(backends: Mapping[str, BackendResult], title: str) -> Figure:
    """The final test accuracy of every run as a dot; the bar is the mean's 95 % interval."""
    figure = Figure(figsize=(WIDTH, 1.2 + 0.42 * len(backends)), layout="constrained")
    axes = figure.subplots()
    for place, result in enumerate(backends.values()):
        runs = [100 * run.test_accuracy for run in result.runs]
        if len(runs) > 1:
            middle, half = float(np.mean(runs)), interval(runs)
            axes.plot([middle - half, middle + half], [place, place], color=BLUE, linewidth=8,
                      alpha=0.25, solid_capstyle="butt")  # fmt: skip
            axes.plot(middle, place, "|", color=BLUE, markersize=14, markeredgewidth=2)
        axes.plot(runs, [place] * len(runs), "o", color=INK, markersize=4.5, alpha=0.8)
    axes.set_yticks(range(len(backends)), list(backends))
    axes.set_ylim(len(backends) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("right answers on the test set (%)")
    headline(figure, f"Every run's test accuracy: {title}")
    return figure
