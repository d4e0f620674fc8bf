"""`lockstep verify`: the proof for every framework, or the check of a file of one's own."""

from __future__ import annotations

import argparse
import json
import math
import sys
from argparse import Namespace
from pathlib import Path

from ..backends import registry
from ..errors import FAILED, LockstepError, one_of
from . import options as shared
from .progress import Progress

STEPS, STEPS_OF_A_FILE = 100, 10


def add_flags(command: argparse.ArgumentParser) -> None:
    """The proof, the recipe, the data."""
    command.add_argument(
        "file", nargs="?", metavar="FILE", help="your own network in Python, to be checked"
    )
    add = command.add_argument_group("the proof").add_argument
    add("--template", metavar="FILE", help="write a commented file to start your own from")
    add(
        "--backends",
        metavar="NAMES",
        help="backends to compare with NumPy (default: all installed)",
    )
    add(
        "--steps",
        type=int,
        metavar="N",
        help=f"updates to compare (default: {STEPS}; {STEPS_OF_A_FILE} for a file of your own)",
    )
    add("--view", metavar="NAME", help="synced, free or trained (default: the first two)")
    add("--tolerance", type=float, metavar="X", help="largest difference that counts as the same")
    add(
        "--time-limit",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="stop a file of your own after this time (default: 60)",
    )
    add("--json", action="store_true", help="print every difference as JSON")
    add(
        "--quiet",
        action="store_true",
        help="print errors only; the exit code is 0 (same), 1 (not) or 2 (unusable)",
    )
    title = "the recipe (a file of your own: 784-16-10, tanh, sgd, unless told)"
    shared.add_recipe(command, title, plain=True, dtype="float64")
    shared.add_place(command)


def run(options: Namespace) -> int:
    """The proof, or the file to start from."""
    if options.template is not None:
        from ..diagnosis.check import write_template

        write_template(Path(options.template))
        print(f"Wrote {options.template}; `lockstep verify {options.template}` checks it.")
        return 0
    shared.require_steps(options.steps)
    return _run_file(options) if options.file else _run_frameworks(options)


def _run_frameworks(options: Namespace) -> int:
    from ..proof import prove
    from ..proof.comparison import SCHEMA, STEPPED, VIEWS
    from ..report import terminal
    from ..runs.typed import plain

    recipe = shared.recipe_of(options, dtype="float64")  # where rounding leaves a bug no place
    shared.require_plain(recipe, "verify")
    views = (one_of(VIEWS, options.view, "view"),) if options.view else STEPPED
    if options.tolerance is not None and not 0 <= options.tolerance < math.inf:
        raise LockstepError(f"--tolerance is {options.tolerance}; it must be 0 or more, finite.")
    chosen = tuple(name for name in shared.backends_of(options) if name != registry.REFERENCE)
    if not chosen:
        raise LockstepError(_nothing_to_compare())
    data = shared.data_of(options, recipe)
    with Progress(options.quiet, stderr=True) as progress:
        proof = prove.verify(
            recipe, chosen, data, options.steps or STEPS, views, options.dialect,
            options.tolerance, options.device, progress,
        )  # fmt: skip
    if options.json:
        content = {"schema": SCHEMA, **plain(proof)}
        print(json.dumps(content, indent=1, allow_nan=False))
    elif not options.quiet:
        terminal.print_proof(proof)
    for name, why in proof.failures.items():
        print(f"lockstep: {name} failed: {why}", file=sys.stderr)
    return 0 if proof.same else FAILED


def _nothing_to_compare() -> str:
    """Why there is nothing beside NumPy, and what to do."""
    absent = [name for name in registry.names() if name not in registry.installed()]
    others = [name for name in registry.installed() if name != registry.REFERENCE]
    if others:
        return f"Every backend is compared with NumPy; choose another, e.g. --backends {others[0]}."
    return f"No other backend is installed; {registry.install_command(absent)} adds them."


def _run_file(options: Namespace) -> int:
    for flag in ("backends", "view", "tolerance"):
        if getattr(options, flag) is not None:
            raise LockstepError(f"--{flag} says nothing about a file of your own; leave it out.")
    from ..diagnosis.check import TEMPLATE_SETTINGS, check
    from ..report import terminal

    recipe = shared.recipe_of(options, **TEMPLATE_SETTINGS)
    if not 0 < options.time_limit < math.inf:
        raise LockstepError(f"--time-limit is {options.time_limit}; it must be above 0 seconds.")
    data = shared.data_of(options, recipe)
    steps = options.steps or STEPS_OF_A_FILE
    verdict = check(Path(options.file), recipe, data, steps, options.time_limit)
    if options.json:
        print(json.dumps(verdict.to_dict(), indent=1, allow_nan=False))
    elif not options.quiet:
        print(f"{options.file} beside the network by hand: {recipe.summary()}, on {data.title}")
        terminal.print_verdict(verdict)
    return 0 if verdict.same else FAILED
