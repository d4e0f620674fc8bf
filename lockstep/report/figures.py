"""Each figure, drawn once for all: the page, the PNG and SVG files, the notebooks.

Every function returns a `matplotlib.figure.Figure`, made without pyplot, so that nothing global
changes and nothing needs a screen.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ..errors import LockstepError, reason
from ..results import BackendResult

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
        axes.xaxis.get_major_locator().set_params(integer=True)
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
    figure.suptitle(
        f"{name}: {accuracy:.2%} right on {title}", x=0.02, ha="left", fontweight="bold"
    )
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
    for axes, (key, factor, label, colour) in zip(panels, columns, strict=True):
        for place, result in enumerate(backends.values()):
            values = [factor * run[key] for run in result.get("repeats", [result])]
            median = float(np.median(values))
            axes.barh(place, median, height=0.5, color=colour, alpha=0.35)
            axes.plot(values, [place] * len(values), "o", color=colour, markersize=4)
            words = f"  {median:.0f}" if median >= 100 else f"  {median:.2f}"
            axes.text(max(values), place, words, va="center", fontsize=9)
        axes.set_xlabel(label)
        axes.margins(x=0.28)
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    figure.suptitle(f"What it cost: {title}", x=0.01, ha="left", fontweight="bold")
    return figure


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
