"""`lockstep explain`: from two programs as everyone writes them to the same numbers, and back."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import Any

from ..backends import registry
from ..differences.choices import AS_EVERYONE_WRITES_IT
from ..errors import FAILED
from . import options as shared
from .progress import Progress

DEFAULTS: dict[str, Any] = {"batch_size": 128}


def add_flags(command: argparse.ArgumentParser) -> None:
    """Which two, over how many seeds and steps."""
    known = ", ".join(AS_EVERYONE_WRITES_IT)
    for side, default in (("left", "tensorflow"), ("right", "torch")):
        command.add_argument(
            side,
            nargs="?",
            default=default,
            metavar=side.upper(),
            help=f"a framework: {known} (default: {default})",
        )
    add = command.add_argument_group("the measurement").add_argument
    add("--seeds", type=int, default=3, metavar="N", help="repeat with N seeds (default: 3)")
    add("--steps", type=int, metavar="N", help="updates of each program (default: one epoch)")
    shared.add_recipe(command, plain=True, **DEFAULTS)
    shared.add_place(command)
    shared.add_run(command)


def run(options: Namespace) -> int:
    """Measure, leave explain.json and the figure in a run's folder, print the table."""
    from ..differences.explain import explain
    from ..report import figures, terminal
    from ..runs import files, machine

    recipe = shared.recipe_of(options, **DEFAULTS)
    shared.require_plain(recipe, "explain")
    shared.require_steps(options.steps)
    for name in (options.left, options.right):
        registry.require(name)
    name = shared.name_of(options, f"explain-{options.left}-{options.right}-{shared.now()}")
    data = shared.data_of(options, recipe)
    device = "cpu" if options.device == "auto" else options.device
    with files.new_run(Path(options.out), name) as folder:
        with Progress(options.quiet) as progress:
            found = explain(
                options.left, options.right, recipe, data, options.seeds, options.steps, device,
                progress,
            )  # fmt: skip
        content = found.to_dict() | {"environment": machine.environment()}
        files.write_json(folder / "explain.json", content)
        figures.save(figures.ladder(content), folder / "figures" / "explain")
    if not options.quiet:
        terminal.print_explanation(found.to_dict())
        print(f"\nFigure: {Path(options.out) / name / 'figures' / 'explain.png'}")
    return 0 if found.aligned else FAILED
