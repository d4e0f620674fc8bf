"""One look for every figure, and the ways out of matplotlib: files, or SVG inside a page."""

from __future__ import annotations

import functools
import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ...runs.files import write_whole

INK, QUIET, FAINT, GRID, PAPER = "#222222", "#595959", "#888888", "#e4e4e4", "#ffffff"
# Okabe & Ito's palette, which colour-blind readers can tell apart.
BLUE, VERMILION, GREEN, PINK, AMBER = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"

THEME = {
    INK: "ink",
    QUIET: "quiet",
    FAINT: "faint",
    GRID: "grid",
    PAPER: "paper",
    BLUE: "blue",
    VERMILION: "vermilion",
    GREEN: "green",
    PINK: "pink",
    AMBER: "amber",
}
"""Each colour and the page's variable that stands for it, so that a figure turns dark with it."""

WIDTH = 4.8
"""Inches. A phone shows this at three quarters of its size; a page, two beside one another."""

# Dashes and widths differ too, because the curves are meant to lie on one another.
LOOKS = (
    {"color": BLUE, "linewidth": 5.0, "alpha": 0.45},
    {"color": VERMILION, "linewidth": 2.2, "linestyle": (0, (4, 2.5))},
    {"color": INK, "linewidth": 1.3, "linestyle": (0, (1, 2))},
    {"color": GREEN, "linewidth": 1.8, "linestyle": (0, (6, 2, 1, 2))},
    {"color": PINK, "linewidth": 1.5, "linestyle": (0, (2, 1))},
)

STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "hatch.linewidth": 2.0,
    "legend.frameon": False,
    "figure.facecolor": PAPER,
    "text.parse_math": False,  # a "$" in somebody's name is no formula
    "svg.fonttype": "none",  # letters stay letters, to be read, searched and edited
    "svg.hashsalt": "lockstep",  # the same figure is the same file
}


@contextmanager
def _style() -> Iterator[None]:
    """The common style for a while; a letter that the font lacks is no news to anybody."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the common style, and leave matplotlib's settings as they were.

    The layout is found once: each way out of matplotlib would compute it again.
    """

    @functools.wraps(draw)
    def in_style(*arguments: Any, **options: Any) -> Figure:
        with _style():
            figure = draw(*arguments, **options)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            return figure

    return in_style


def look(place: int) -> dict[str, Any]:
    """How the curve at this place of a legend is drawn; after five, the colours come again,
    with the dashes of another."""
    again, first = divmod(place, len(LOOKS))
    dashes = LOOKS[(first + again) % len(LOOKS)].get("linestyle", "-")
    return LOOKS[first] | ({"linestyle": dashes, "linewidth": 1.6} if again else {})


def logarithmic(axis: Axis, low: float, high: float) -> None:
    """A few powers of ten between two limits, written as programs write them: 1e-08."""
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    some = decades[:: max(1, -(-len(decades) // 6))]
    axis.set_ticks(10.0**some, [f"{10.0**power:.0e}" for power in some])
    axis.set_minor_locator(NullLocator())


def headline(figure: Figure, words: str) -> None:
    """The figure's title, at the left, as a heading stands on a page; a long one is folded."""
    folded = textwrap.fill(words, int(9 * figure.get_figwidth()))
    figure.suptitle(folded, x=0.01, ha="left", fontweight="bold")


@functools.lru_cache(maxsize=64)
def svg(figure: Figure) -> str:
    """The figure as an SVG document whose letters are text; rendered once for file and page."""
    buffer = io.StringIO()
    nothing_that_varies = {"Date": None, "Creator": None}
    with _style():
        figure.savefig(buffer, format="svg", metadata=nothing_that_varies)
    return buffer.getvalue()


def png(figure: Figure) -> bytes:
    """The figure as a PNG with 160 dots an inch, for slides."""
    buffer = io.BytesIO()
    with _style():
        figure.savefig(buffer, format="png", dpi=160)
    return buffer.getvalue()


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write stem.png and stem.svg, each whole or not at all."""
    paths = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    for path, content in zip(paths, (png(figure), svg(figure).encode()), strict=True):
        write_whole(path, content)
    return paths


def inline_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The figure as an <svg> for a page: its letters are text, its colours follow the page's.

    `name` makes the ids in it unique on the page; a screen reader hears title and description.
    """
    text = svg(figure)
    body = text[text.index("</defs>") + len("</defs>") : text.rindex("</svg>")]
    box = re.search(r'viewBox="([^"]*)"', text)
    assert box
    words = f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">'
    words += f"{escape(description)}</desc>"
    return (
        f'<svg viewBox="{box[1]}" role="img" aria-labelledby="{name}-t" '
        f'aria-describedby="{name}-d">{words}{_lean(body, name)}</svg>'
    )


def _lean(body: str, name: str) -> str:
    """SVG without what the page says once for all, in the page's colours; its words stay."""
    used = set(re.findall(r"#([\w.-]+)[\")]", body))

    def own_id(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    def lean(match: re.Match[str]) -> str:
        tag = re.sub(r' id="([^"]*)"', own_id, match[0])
        tag = re.sub(r"(href=\"|url\()#", rf"\1#{name}-", tag).replace("xlink:href", "href")
        tag = re.sub(r"(font-size: [\d.]+px); font-family: [^;\"]*", r"\1", tag)
        tag = re.sub(r"(font:[^;\"]*?[\d.]+px) [^;\"]*", r"\1 sans-serif", tag)
        for colour, variable in THEME.items():
            tag = tag.replace(f": {colour}", f": var(--{variable})")
        tag = re.sub(r' transform="rotate\(-?0 [^"]*"', "", tag)
        return re.sub(r"(\d+\.\d\d)\d+", r"\1", tag)  # a hundredth of a point is enough

    return re.sub(r"\s*\n\s*", " ", re.sub(r"<[^>]*>", lean, body))
