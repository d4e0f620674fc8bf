"""Pixels as pictures: digits of a dataset, and the weights of hidden units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from .style import WIDTH, headline, styled

SIDE = 28
INCHES = 0.78
"""The side of a digit in a gallery."""


@styled
def digits(images: np.ndarray, captions: Sequence[str], title: str, columns: int = 10) -> Figure:
    """A gallery: images (N, 784), each with its caption beneath, which may be several lines.

    All stand in one pair of axes, because each pair takes as long to draw as ten pictures.
    """
    columns = min(columns, max(1, len(images)))
    rows = max(1, -(-len(images) // columns))
    words = [caption.split("\n") for caption in captions if caption]
    lines = max(map(len, words), default=0)
    longest = max((len(w) for c in words for w in c), default=0)
    wide, high = max(0.9, 0.075 * longest), 0.95 + 0.15 * lines  # inches of a place
    size = (max(WIDTH, wide * columns), 0.5 + rows * high)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(0, wide * columns)
    axes.set_ylim(rows * high, 0)
    for place, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(place, columns)
        left, top = column * wide + (wide - INCHES) / 2, row * high
        axes.imshow(np.reshape(image, (SIDE, SIDE)), cmap="gray_r", interpolation="nearest",
                    extent=(left, left + INCHES, top + INCHES, top))  # fmt: skip
        axes.text(left + INCHES / 2, top + INCHES, caption, ha="center", va="top", fontsize=8)
    axes.set_xlim(0, wide * columns)  # which each picture would set anew
    axes.set_ylim(rows * high, 0)
    headline(figure, title)
    return figure


@styled
def first_layer(weights: Mapping[str, np.ndarray], title: str, units: Sequence[int]) -> Figure:
    """What hidden units look for: columns of each (784, hidden) matrix as 28 × 28 pictures.

    One row for each network, the same units in each. Blue lowers the unit's input, red raises it.
    """
    figure = Figure(figsize=(WIDTH, 0.75 + 0.48 * len(weights)), layout="constrained")
    most = max(np.abs(matrix[:, list(units)]).max() for matrix in weights.values())
    rows = figure.subplots(len(weights), 1, squeeze=False)[:, 0]
    colours = matplotlib.colormaps["RdBu_r"].resampled(48)  # few colours make a small file
    for axes, (name, matrix) in zip(rows, weights.items(), strict=True):
        axes.imshow(_strip(matrix, units), cmap=colours, vmin=-most, vmax=most,
                    interpolation="none")  # fmt: skip
        axes.set_yticks([SIDE / 2], [name])
        middles = np.arange(len(units)) * (SIDE + 1) + SIDE / 2
        axes.set_xticks(middles, [f"unit\n{unit}" for unit in units] if axes is rows[0] else [])
        axes.tick_params(length=0, labelsize=9, top=False, bottom=False)
        axes.xaxis.set_ticks_position("top")
        axes.grid(False)
        axes.spines[:].set_visible(False)
    headline(figure, title)
    return figure


def _strip(matrix: np.ndarray, units: Sequence[int]) -> np.ma.MaskedArray:
    """The units' pictures beside one another, (28, 29·units - 1), with a column between them."""
    pictures = [matrix[:, unit].reshape(SIDE, SIDE) for unit in units]
    between = np.full((SIDE, 1), np.nan)
    parts = [part for picture in pictures for part in (picture, between)][:-1]
    return np.ma.masked_invalid(np.hstack(parts))
