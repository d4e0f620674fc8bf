"""`lockstep compare`: train all the backends that are chosen, and compare them."""

from __future__ import annotations

import argparse
from argparse import Namespace

from ..backends import registry
from . import options as shared
from . import training

PROOF_STEPS = 200
"""How many updates the proof at the end follows."""


def add_flags(command: argparse.ArgumentParser) -> None:
    """Which backends, and how they train."""
    command.add_argument(
        "--backends", metavar="NAMES", help="e.g. numpy,torch (default: all installed)"
    )
    training.add_flags(command, PROOF_STEPS)


def run(options: Namespace) -> int:
    """Train all that are chosen; say how to get those that are not installed."""
    chosen = shared.backends_of(options)
    code = training.run(options, chosen)
    here = (*chosen, *registry.installed())
    absent = [name for name in registry.names() if name not in here]
    if absent and not options.backends and not options.quiet:
        add = registry.install_command(absent)
        print(f"Not installed: {', '.join(absent)}. {add} adds them.")
    return code
