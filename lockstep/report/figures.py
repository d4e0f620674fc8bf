"""Each figure, drawn once for all: the page, the PNG and SVG files, the notebooks.

Every function returns a `matplotlib.figure.Figure`, made without pyplot, so that nothing global
changes and nothing needs a screen.
"""

from __future__ import annotations

import functools
import io
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..errors import LockstepError, reason
from ..results import BackendResult
from .summary import accuracy_words

# Okabe & Ito's palette, which colour-blind readers can tell apart; dashes and widths differ too,
# because the curves are meant to lie on one another.
LOOKS = (
    {"color": "#0072B2", "linewidth": 5.0, "alpha": 0.45},
    {"color": "#D55E00", "linewidth": 2.2, "linestyle": (0, (4, 2.5))},
    {"color": "#000000", "linewidth": 1.3, "linestyle": (0, (1, 2))},
    {"color": "#009E73", "linewidth": 1.8, "linestyle": (0, (6, 2, 1, 2))},
    {"color": "#CC79A7", "linewidth": 1.5, "linestyle": (0, (2, 1))},
)
START_UP, TRAINING, MEMORY = "#E69F00", "#0072B2", "#009E73"

STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "legend.frameon": False,
    "figure.facecolor": "white",
    "svg.hashsalt": "lockstep",  # the same figure is the same file
}


def _styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    @functools.wraps(draw)
    def styled(*arguments, **options) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*arguments, **options)

    return styled


@_styled
def loss_against_epoch(histories: Mapping[str, Sequence[dict]], title: str) -> Figure:
    """Mean cross-entropy on the training and on the test set; histories by backend."""
    return _against_epoch(histories, "loss", "mean cross-entropy (nats)", f"Loss on {title}")


@_styled
def accuracy_against_epoch(histories: Mapping[str, Sequence[dict]], title: str) -> Figure:
    """Share of right answers in percent on the training and on the test set."""
    return _against_epoch(histories, "accuracy", "right answers (%)", f"Accuracy on {title}", 100)


def _against_epoch(histories, figure_name: str, unit: str, title: str, factor: float = 1) -> Figure:
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, part in zip(panels, ("train", "test"), strict=True):
        for (name, history), look in zip(histories.items(), _looks(len(histories)), strict=True):
            epochs = [entry["epoch"] for entry in history]
            values = [factor * entry[f"{part}_{figure_name}"] for entry in history]
            axes.plot(epochs, values, marker="o", markersize=3, label=name, **look)
        axes.set_title(f"{'training' if part == 'train' else 'test'} set")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panels[0].set_ylabel(unit)
    if len(histories) > 1:
        panels[1].legend(handlelength=4)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return figure


def _looks(count: int) -> list[dict]:
    return [LOOKS[i % len(LOOKS)] for i in range(count)]


@_styled
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
            axes.text(
                answer,
                true,
                count or "·",
                ha="center",
                va="center",
                fontsize=9,
                color="#0072B2" if right else "#222222" if count else "#BBBBBB",
                fontweight="bold" if right else "normal",
            )
    long_names = max(map(len, classes)) > 3
    axes.set_xticks(range(len(classes)), classes, rotation=45 if long_names else 0)
    axes.set_yticks(range(len(classes)), classes)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    accuracy = np.trace(matrix) / max(1, matrix.sum())
    words = textwrap.fill(f"{name}: {accuracy:.2%} right on {title}", 50)
    figure.suptitle(words, x=0.02, ha="left", fontweight="bold")
    return figure


@_styled
def time_and_memory(backends: Mapping[str, BackendResult], title: str) -> Figure:
    """Start-up, training and peak memory of each backend; one dot for each run."""
    figure = Figure(figsize=(8, 1.5 + 0.5 * len(backends)), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    columns = (
        ("train_seconds", 1, "training (s)", TRAINING),
        ("startup_seconds", 1, "start-up (s)", START_UP),
        ("peak_rss_bytes", 2**-20, "peak memory (MiB)", MEMORY),
    )
    names = list(backends)
    repeated = any("repeats" in result for result in backends.values())
    for axes, (key, factor, label, colour) in zip(panels, columns, strict=True):
        for place, result in enumerate(backends.values()):
            values = [factor * run[key] for run in result.get("repeats", [result])]
            mean = float(np.mean(values))
            axes.barh(place, mean, height=0.5, color=colour, alpha=0.35)
            axes.plot(values, [place] * len(values), "o", color=colour, markersize=4)
            words = f"{mean:.0f}" if key == "peak_rss_bytes" else f"{mean:.2f}"
            axes.text(max(values), place, f"  {words}", va="center", fontsize=9)
        axes.set_xlabel(label)
        axes.margins(x=0.28)
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    words = "What each run cost, and the mean" if repeated else "What it cost"
    figure.suptitle(f"{words}: {title}", x=0.01, ha="left", fontweight="bold")
    return figure


STEP_LOOKS = (
    {"color": "#E69F00", "marker": "o"},
    {"color": "#009E73", "marker": "s"},
    {"color": "#0072B2", "marker": "D"},
)
SMALLEST = 1e-17
"""What a difference of exactly 0 is drawn at, on an axis that has no 0."""


@_styled
def ladder(explanation: Mapping) -> Figure:
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
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    caption = (
        f"Small marks are seeds ({len(explanation['seeds'])}), large ones their median. "
        f"Test accuracy: {left} minus {right}, mean ± standard deviation; bold where it is more "
        "than another seed does."
    )
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=9, color="#555555")
    panels[0].legend(
        handles=_step_legend(explanation),
        loc="lower right",
        bbox_to_anchor=(1.0, 1.045),
        ncols=3,
        handletextpad=0.2,
        columnspacing=1.2,
    )
    return figure


def _rungs(axes: Axes, rungs: Sequence[Mapping], explanation: Mapping) -> None:
    """One row for each pair of programs: its name, its marks, what the test accuracy does."""
    tolerance, looks = explanation["tolerance"], _step_looks(explanation)
    for place, rung in enumerate(rungs):
        rows = np.linspace(-0.22, 0.22, len(looks)) + place  # one for each checkpoint
        medians = []
        for row, values, look in zip(rows, rung["weights"].values(), looks, strict=True):
            seeds = np.maximum(values, SMALLEST)
            axes.plot(seeds, [row] * len(seeds), linestyle="", markersize=3, alpha=0.5, **look)
            medians.append(float(np.median(seeds)))
            axes.plot(medians[-1], row, markersize=7, markeredgecolor="white", zorder=3, **look)
        axes.plot(medians, rows, color="#BBBBBB", linewidth=1.5, zorder=1)
        effect = rung["accuracy_verdict"] == "effect"
        look = {"color": "#222222", "weight": "bold"} if effect else {"color": "#777777"}
        words = accuracy_words(rung["accuracy"], rung["accuracy_verdict"])
        _beside(axes, words, place, va="center", **look)
    _beside(axes, "test accuracy (points)", -0.6, va="bottom", color="#555555")
    names = [f"{rung['title']}\n{rung['change']}".strip() for rung in rungs]
    axes.set_yticks(range(len(rungs)), names, fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_ylim(len(rungs) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.set_xlim(SMALLEST / 3, 10)
    axes.set_xlabel("largest difference of a weight")
    axes.axvspan(SMALLEST / 3, tolerance, color="#F3F3F3", zorder=0)
    middle = (SMALLEST / 3 * tolerance) ** 0.5
    axes.text(middle, -0.42, "rounding", ha="center", va="top", fontsize=9, color="#777777")


def _beside(axes: Axes, words: str, place: float, **look) -> None:
    """Words to the right of the axes, at a row."""
    where = axes.get_yaxis_transform()  # across in shares of the axes, down in rows
    axes.text(1.02, place, words, transform=where, fontsize=9, **look)


def _step_looks(explanation: Mapping) -> tuple[dict, ...]:
    """One look for each checkpoint; the last step has the last look, however few there are."""
    return STEP_LOOKS[-len(explanation["ladder"][0]["weights"]) :]


def _step_legend(explanation: Mapping) -> list[Line2D]:
    steps = explanation["ladder"][0]["weights"]
    return [
        Line2D([], [], linestyle="", label=f"after {step} step{'s' * (step != '1')}", **look)
        for step, look in zip(steps, _step_looks(explanation), strict=True)
    ]


def _write(figure: Figure, target, kind: str) -> None:
    """Write the same bytes for the same figure: no date in it, and ids that do not vary."""
    metadata = {"Date": None, "Creator": None} if kind == "svg" else None
    with matplotlib.rc_context(STYLE):
        figure.savefig(target, dpi=200, format=kind, metadata=metadata)


def svg(figure: Figure) -> str:
    """The figure as an <svg> element, its letters as outlines, without an XML prologue."""
    buffer = io.StringIO()
    _write(figure, buffer, "svg")
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write stem.png (for slides, 200 dots an inch) and stem.svg, each whole or not at all."""
    paths = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        for path in paths:
            partial = path.with_name(f".{os.getpid()}.{path.name}")
            _write(figure, partial, path.suffix[1:])
            partial.replace(path)
    except OSError as error:
        raise LockstepError(f"Cannot write the figure {stem}: {reason(error)}.") from None
    return paths
