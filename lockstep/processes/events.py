"""What is told while long work runs: an event is a dictionary, and "event" says which kind it is.

    training    one training begins: "label", "recipe" (Recipe), "repeat" (from 0), "repeats"
    ready       its framework is imported: "version", "device"
    compiling   something that takes long at first: "words"; of a proof also "backend"
    running     within an epoch: "epoch", "epochs_done" (a fraction), "running_loss",
                "running_accuracy"
    epoch       after one: a row of the history, `runs.records.Epoch`
    trained     the training is done
    failed      it is not: "message"
    kept        all trainings are whole and lie in "folder"
    step        a step of a proof is compared: "title", "step" (from 1), "steps"
    part        a part of other long work: "words", "done" (whether it is over)
    note        a line for whoever watches: "words"

A child tells its parent in the same words, one line of JSON each (`child.py`). What is for the
parent alone is documented at the child's task, such as the comparisons of a proof
(`proof/beside.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Event = dict[str, Any]
OnEvent = Callable[[Event], None]
"""Takes one event. Whoever does long work takes a listener, and knows nothing of screens."""


def nobody(event: Event) -> None:
    """The listener that hears nothing."""
