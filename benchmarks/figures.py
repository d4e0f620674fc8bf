"""A figure of each measurement: the race, how cost grows, the time to a test accuracy."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lockstep.backends.registry import ROWS
from lockstep.report.figures.style import (
    BLUE,
    FAINT,
    INK,
    PAPER,
    PINK,
    QUIET,
    VERMILION,
    headline,
    styled,
)

OWN, FLOOR = "lockstep", "floor"
"""How the names of this project's contenders begin, and those of the floors."""
MARKS: dict[str, dict[str, Any]] = {
    name: {"color": row.color, "marker": row.marker} for name, row in ROWS.items()
}
OTHER: dict[str, Any] = {"color": PINK, "marker": "P"}
"""How a backend is drawn that nobody has chosen a look for."""


@styled
def race(record: Mapping) -> Figure:
    """Seconds of an epoch, the quickest first: the mark is the median, a dot is a round."""
    sizes = record["settings"]["batch_sizes"]
    rows = {(row["contender"], row["batch_size"]): row for row in record["rows"]}
    quickest = sorted(rows, key=lambda at: (sizes.index(at[1]), rows[at]["median"]))
    names = list(dict.fromkeys(name for name, _ in quickest))
    height = 1.5 + 0.29 * len(names)
    figure = Figure(figsize=(2.4 + 3.9 * len(sizes), height), layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True, sharex=True, squeeze=False)[0]
    least = min(row["low"] for row in rows.values()) / 1.5
    most = max(row["high"] for row in rows.values())
    for axes, size in zip(panels, sizes, strict=True):
        for place, name in enumerate(names):
            if (name, size) in rows:
                _lane(axes, place, least, rows[name, size])
        axes.set_title(f"batch {size}")
        axes.set_xscale("log")
        axes.set_xlim(least, 3 * most)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("seconds for an epoch")
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
    panels[0].set_yticks(range(len(names)), names)
    headline(figure, f"One epoch of {record['dataset']['title']}: 784-128-10, ReLU, Adam")
    _caption(
        figure,
        "The further left, the faster; each line is ten times the one before. A dot is a round, "
        "the mark is their median. Blue: this project. Orange: what one would use instead. Grey: "
        "floors, which learn nothing: the matrix products of an epoch alone, and the memory that "
        "Adam passes over.",
    )
    return figure


def _lane(axes: Axes, place: int, least: float, row: Mapping) -> None:
    """One contender's lane, its rounds, and its median in figures."""
    name = row["contender"]
    colour = BLUE if name.startswith(OWN) else FAINT if name.startswith(FLOOR) else VERMILION
    axes.hlines(place, least, row["median"], color=colour, linewidth=9, alpha=0.4)
    axes.plot([row["median"]] * 2, [place - 0.38, place + 0.38], color=INK, linewidth=1.6)
    rounds = [turn["seconds"] for turn in row["turns"] if turn["counts"]]
    axes.plot(rounds, [place] * len(rounds), "o", color=INK, markersize=2.8, alpha=0.7)
    words = f"{row['median']:.3g}" + " (another accuracy!)" * row["unequal"]
    axes.annotate(words, (max(rounds), place), xytext=(6, 0), textcoords="offset points",
                  va="center", fontsize=9)  # fmt: skip


@styled
def growth(record: Mapping) -> Figure:
    """Microseconds for an image along each axis, every backend beside the floor."""
    axes_of = {axis: at for axis, at in record["axes"].items() if _points(record, axis)}
    figure = Figure(figsize=(10.4, 6.9), layout="constrained")
    grid = figure.subplots(2, 3, sharey=True)
    panels = list(grid.flat)
    names = list(dict.fromkeys(row["contender"] for row in record["rows"]))
    backends = [name for name in names if not name.startswith(FLOOR)]
    values = [v for axis in axes_of for line in _points(record, axis).values() for v in line[1]]
    limits = min(values) / 1.5, max(values) * 1.5
    for panel, (axis, at) in zip(panels, axes_of.items(), strict=False):
        lines = _points(record, axis)
        for name in backends:
            if name in lines:
                panel.plot(*lines[name], markersize=5, linewidth=1.6, markeredgecolor=PAPER,
                           markeredgewidth=0.6, **MARKS.get(name, OTHER))  # fmt: skip
        if FLOOR in lines:
            x, y = lines[FLOOR]
            panel.plot(x, y, color=QUIET, linewidth=1.4, linestyle=(0, (4, 2)))
            panel.fill_between(x, limits[0], y, color=FAINT, alpha=0.16, linewidth=0)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_title(axis)
        panel.xaxis.set_major_locator(FixedLocator(at))
        panel.xaxis.set_major_formatter(FuncFormatter(_short))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_ylim(*limits)
        _plain(panel.yaxis, *limits)
    for panel in panels[len(axes_of) :]:
        panel.set_axis_off()
    for row in grid:
        row[0].set_ylabel("µs for an image")
    handles = [Line2D([], [], label=name, **MARKS.get(name, OTHER)) for name in backends]
    handles.append(Line2D([], [], color=QUIET, linestyle=(0, (4, 2)), label="floor"))
    panels[-1].legend(handles=handles, loc="upper left", fontsize=10.5, title="trainer",
                      alignment="left")  # fmt: skip
    headline(figure, f"How cost grows: {record['dataset']['title']}, ReLU, Adam")
    _caption(
        figure,
        "One thing grows, the rest is 784-128-10, batch 128, two cores; medians of "
        f"{record['settings']['rounds']} rounds. The floor is the matrix products of an update and "
        "the memory that Adam passes over, both measured beside the rest. numba may lie below "
        "it, because it leaves out the pixels that are 0; jax, because its products are quicker "
        "than NumPy's, which are the floor's.",
    )
    return figure


def _points(record: Mapping, axis: str) -> dict[str, tuple[list, list]]:
    """Where each trainer is along an axis; the floors added up are one, where all are known."""
    found: dict[str, dict] = {}
    for row in record["rows"]:
        if row["axis"] == axis:
            found.setdefault(row["contender"], {})[row["at"]] = row["us_per_image"]
    floors = [found.pop(name) for name in list(found) if name.startswith(FLOOR)]
    if len(floors) == 2:
        first, second = floors
        found[FLOOR] = {at: first[at] + second[at] for at in first if at in second}
    return {name: (sorted(line), [line[at] for at in sorted(line)]) for name, line in found.items()}


@styled
def target(record: Mapping) -> Figure:
    """Test accuracy against time, every seed a mark: full for training, hollow for the process."""
    figure = Figure(figsize=(7.6, 4.9), layout="constrained")
    axes = figure.subplots()
    percent, bar = int(record["settings"]["percent"]), record["bar"]
    every = [run for row in record["rows"] for run in row["runs"]]
    low = min(run["train_seconds"] for run in every) / 1.6
    high = max(run["whole_seconds"] for run in every) * 1.6
    for row in record["rows"]:
        look = MARKS.get(row["backend"], OTHER)
        accuracies = [100 * run["test_accuracy"] for run in row["runs"]]
        for key, face, alpha in (
            ("train_seconds", look["color"], 0.85),
            ("whole_seconds", PAPER, 0.6),
        ):
            axes.plot([run[key] for run in row["runs"]], accuracies, linestyle="", markersize=6,
                      marker=look["marker"], color=look["color"], markerfacecolor=face,
                      alpha=alpha)  # fmt: skip
    axes.axhline(percent, color=QUIET, linewidth=1.2, linestyle=(0, (4, 2)))
    axes.axvline(bar["seconds"], color=QUIET, linewidth=1.2, linestyle=(0, (1, 2)))
    axes.annotate(f"{bar['backend']}'s bar: {bar['seconds']:g} s", (bar["seconds"], 1), (4, -3),
                  xycoords=axes.get_xaxis_transform(), textcoords="offset points", va="top",
                  fontsize=9, color=QUIET)  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(min(low, bar["seconds"] / 1.6), high)
    _plain(axes.xaxis, min(low, bar["seconds"] / 1.6), high)
    axes.set_xlabel("seconds")
    axes.set_ylabel("test accuracy (%)")
    axes.margins(y=0.12)
    handles = [
        Line2D([], [], linestyle="", markersize=6, label=row["backend"],
               **MARKS.get(row["backend"], OTHER))
        for row in record["rows"]
    ]  # fmt: skip
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(handles),
                handletextpad=0.1, columnspacing=1.0)  # fmt: skip
    headline(figure, f"Time to {percent} % on {record['dataset']['title']}")
    _caption(
        figure,
        f"A mark is a training from a seed of its own ({len(record['rows'][0]['runs'])} of each): "
        "full at its seconds of training, hollow at those of its whole process, with imports, "
        "compilation and evaluation. Dashed: the accuracy to reach.",
    )
    return figure


def _caption(figure: Figure, words: str) -> None:
    """Plain words beneath the figure, as wide as it is."""
    folded = textwrap.fill(words, int(14.5 * figure.get_figwidth()))
    figure.supxlabel(folded, x=0.01, ha="left", fontsize=9, color=QUIET)


def _plain(axis: Axis, low: float, high: float) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5 times powers of ten, or fewer if those are many."""
    every = [m * 10.0**k for k in range(-6, 9) for m in (1, 2, 5) if low <= m * 10.0**k <= high]
    ticks = every if len(every) <= 8 else [tick for tick in every if f"{tick:e}"[0] == "1"]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:,.10g}"))
    axis.set_minor_locator(NullLocator())


def _short(value: float, _: object = None) -> str:
    """600000 as 600k, and 4096 as it is."""
    return f"{value / 1000:g}k" if value % 1000 == 0 else f"{value:g}"
