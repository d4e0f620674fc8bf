"""What a run cost: time and memory, every run a dot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...results import BackendResult, runs_of
from .style import AMBER, BLUE, GREEN, INK, VERMILION, WIDTH, headline, styled

START_UP = {"import_seconds": AMBER, "compile_seconds": VERMILION}
PANELS = (
    ("training (s)", {"train_seconds": BLUE}, 1),
    ("start-up (s): import, then first calls", START_UP, 1),
    ("peak memory (MiB)", {"peak_rss_bytes": GREEN}, 2**-20),
)
"""Axis label, the figures stacked on it with their colours, and the unit's factor."""


@styled
def time_and_memory(backends: Mapping[str, BackendResult], title: str) -> Figure:
    """Training, start-up (import and first calls) and peak memory of each backend.

    The bar is the median over the runs, marked where it ends; each run is a dot.
    """
    height = 1.1 + len(PANELS) * (0.55 + 0.27 * len(backends))
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    for axes, (label, stacked, factor) in zip(figure.subplots(3, 1), PANELS, strict=True):
        for place, result in enumerate(backends.values()):
            left, sums = 0.0, np.zeros(len(runs_of(result)))
            for key, colour in stacked.items():
                values = np.array([factor * run[key] for run in runs_of(result)])
                median = statistics.median(values)
                axes.barh(place, median, left=left, height=0.56, color=colour, alpha=0.45)
                left, sums = left + median, sums + values
            left = statistics.median(sums)
            axes.plot([left, left], [place - 0.38, place + 0.38], color=INK, linewidth=1.6)
            axes.plot(sums, [place] * len(sums), "o", color=INK, markersize=3, alpha=0.75)
            words = f"{left:,.0f}" if factor != 1 else f"{left:.3g}"
            axes.annotate(words, (max(*sums, left), place), xytext=(6, 0), va="center",
                          textcoords="offset points", fontsize=9)  # fmt: skip
        axes.set_title(label, fontsize=9.5, pad=3)
        axes.margins(x=0.16)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_yticks(range(len(backends)), list(backends))
        axes.set_ylim(len(backends) - 0.45, -0.55)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
    headline(figure, f"What it cost: {title}")
    return figure
