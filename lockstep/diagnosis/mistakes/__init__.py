"""The classic mistakes, each a line of the reference changed.

A mistake is a name, the sentence it is told with, and a class that computes what somebody who
makes it computes. Nothing here looks at symptoms: `diagnose.py` runs every mistake, and names the
one that gives the same wrong numbers. Each part of a step has a file; to add a mistake, add a class
to the file of its part.
"""

from __future__ import annotations

# The catalogue grows as these are imported, in the order in which a step computes.
# isort: off
from .catalogue import CATALOGUE, Case, Mistake
from .inputs import INPUTS
from . import loss, backward, update, decay
from .rounding import FORMATS, RoundedOperands
from .order import orders
# isort: on

__all__ = [
    "CATALOGUE",
    "FORMATS",
    "INPUTS",
    "Case",
    "Mistake",
    "RoundedOperands",
    "backward",
    "decay",
    "loss",
    "orders",
    "update",
]
