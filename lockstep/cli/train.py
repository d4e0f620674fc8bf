"""`lockstep train`: train one backend."""

from __future__ import annotations

import argparse
from argparse import Namespace

from ..backends import registry
from . import training


def add_flags(command: argparse.ArgumentParser) -> None:
    """Which backend, and how it trains."""
    known = registry.names()
    command.add_argument(
        "backend", metavar="BACKEND", help=f"{', '.join(known[:-1])} or {known[-1]}"
    )
    training.add_flags(command, proof_steps=0)


def run(options: Namespace) -> int:
    """Train it."""
    registry.require(options.backend)
    return training.run(options, (options.backend,))
