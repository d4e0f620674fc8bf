"""Each figure, drawn once for all: the page, the PNG and SVG files, the notebooks.

Every function returns a `matplotlib.figure.Figure`, made without pyplot, so that nothing global
changes and nothing needs a screen. A single figure is as wide as a phone can show legibly.
"""

from .confusion import confusion_differences, confusion_matrix
from .costs import time_and_memory
from .ladder import ladder
from .learning import accuracy_against_epoch, accuracy_by_seed, loss_against_epoch
from .parity import parity
from .pictures import digits, first_layer
from .style import inline_svg, save

__all__ = [
    "accuracy_against_epoch",
    "accuracy_by_seed",
    "confusion_differences",
    "confusion_matrix",
    "digits",
    "first_layer",
    "inline_svg",
    "ladder",
    "loss_against_epoch",
    "parity",
    "save",
    "time_and_memory",
]
