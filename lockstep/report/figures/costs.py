"""What a run cost: time and memory, every run a dot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...runs.records import BackendResult, trainings
from .style import AMBER, BLUE, GREEN, INK, QUIET, VERMILION, WIDTH, headline, styled

START_UP = {"import_seconds": AMBER, "compile_seconds": VERMILION}
MEMORY = {"import_rss_bytes": AMBER, "more_rss_bytes": GREEN}
PANELS = (
    ("training (s)", {"train_seconds": BLUE}, 1),
    ("start-up (s): import, then first calls", START_UP, 1),
    ("peak memory (MiB): at import, then more", MEMORY, 2**-20),
)
"""Axis label, the figures stacked on it with their colours, and the unit's factor."""
PLAIN = {"alpha": 0.45}
HATCHED = {"facecolor": "none", "hatch": "////", "linewidth": 0, "alpha": 0.75}
"""The bars of the fast way, and of what the framework's tutorials do."""


@styled
def time_and_memory(backends: Mapping[str, BackendResult], title: str) -> Figure:
    """Training, start-up (import and first calls) and peak memory of each backend.

    The bar is the median over the runs, marked where it ends; each run is a dot. Training as
    tutorials do has hatched bars, below those of the fast way.
    """
    rows = trainings(backends)
    height = 1.1 + len(PANELS) * (0.55 + 0.27 * len(rows))
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    for axes, (label, stacked, factor) in zip(figure.subplots(3, 1), PANELS, strict=True):
        for place, result in enumerate(rows.values()):
            _bar(axes, place, result, stacked, factor)
        axes.set_title(label, fontsize=9.5, pad=3)
        axes.margins(x=0.16)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        _name_the_rows(axes, rows)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
    headline(figure, f"What it cost: {title}")
    return figure


def _bar(
    axes: Axes, place: int, result: BackendResult, stacked: Mapping[str, str], factor: float
) -> None:
    """One training's bar in one panel, its dots, and the median in figures."""
    left, sums = 0.0, np.zeros(len(result.runs))
    for key, colour in stacked.items():
        values = np.array([factor * _figure(run, key) for run in result.runs])
        median = statistics.median(values)
        look = {"edgecolor": colour} | HATCHED if result.tutorial else {"color": colour} | PLAIN
        axes.barh(place, median, left=left, height=0.56, **look)
        left, sums = left + median, sums + values
    left = statistics.median(sums)
    axes.plot([left, left], [place - 0.38, place + 0.38], color=INK, linewidth=1.6)
    axes.plot(sums, [place] * len(sums), "o", color=INK, markersize=3, alpha=0.75)
    words = f"{left:,.0f}" if factor != 1 else f"{left:.3g}"
    axes.annotate(words, (max(*sums, left), place), xytext=(6, 0), va="center",
                  textcoords="offset points", fontsize=9)  # fmt: skip


def _name_the_rows(axes: Axes, rows: Mapping[str, BackendResult]) -> None:
    """Backends by name; one that trains as tutorials do adds what it trains with."""
    names = [f"with {r.tutorial}" if r.tutorial else name for name, r in rows.items()]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    for words, result in zip(axes.get_yticklabels(), rows.values(), strict=True):
        if result.tutorial:
            words.set_color(QUIET)


def _figure(run: BackendResult, key: str) -> float:
    """One of a run's figures; "more_rss_bytes" is the memory that the import did not yet need."""
    if key == "more_rss_bytes":
        return run.peak_rss_bytes - run.import_rss_bytes
    return getattr(run, key)
