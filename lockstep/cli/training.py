"""What `compare` and `train` have in common: train, prove, draw the report, say what came out."""

from __future__ import annotations

import argparse
import io
import shlex
import sys
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..backends import registry
from ..errors import FAILED, LockstepError, one_of
from ..processes.events import Event
from ..report import figures, load, terminal
from ..report.html import page
from ..runs.records import Results, trainings
from ..training.compare import Compared, compare, events_folder
from . import options as shared
from .progress import Progress

DOTS_PER_INCH = 120
"""Of a picture in TensorBoard: legible at the size at which it is shown, and some 50 kB."""


def add_flags(command: argparse.ArgumentParser, proof_steps: int) -> None:
    """The flags of a training; the proof at its end has `proof_steps` unless told."""
    add = command.add_argument_group("the training").add_argument
    add("--repeats", type=int, default=1, metavar="N", help="train with N seeds (default: 1)")
    add(
        "--fit",
        default="fast",
        metavar="NAME",
        help="fast, or tutorial: a second time as the framework's tutorials do (default: fast)",
    )
    add(
        "--proof",
        type=int,
        default=proof_steps,
        metavar="STEPS",
        help=f"updates to compare in the proof at the end (default: {proof_steps})",
    )
    add(
        "--validation",
        type=int,
        metavar="N",
        help="use the last N training images in place of the test set, to choose a recipe",
    )
    add("--tensorboard", action="store_true", help="write the files that TensorBoard shows")
    shared.add_recipe(command)
    shared.add_place(command)
    shared.add_run(command)


def run(options: Namespace, backends: tuple[str, ...]) -> int:
    """Train, print the table, say where the report is; 1 if a backend or a proof failed."""
    _check(options)
    recipe = shared.recipe_of(options)
    as_tutorial = _as_tutorial(options, backends)
    if as_tutorial and recipe.average:
        raise LockstepError("--fit tutorial averages no weights; leave average out of the recipe.")
    name = shared.name_of(options, "")
    data = shared.data_of(options, recipe)
    data = data if options.validation is None else data.validated(options.validation)
    name = name or f"{data.name}-{shared.now()}"
    if not options.quiet:
        print(f"{recipe.summary()}\non {data.title}: {len(data.train.labels):,} training images\n")
    with Progress(options.quiet) as progress:
        kept: list[str] = []

        def on_event(event: Event) -> None:
            if event["event"] == "kept":
                kept.append(event["folder"])
            progress(event)

        try:
            compared = compare(
                recipe, backends, data, Path(options.out), name, options.device, options.repeats,
                options.proof, options.tensorboard, as_tutorial, on_event,
            )  # fmt: skip
            progress({"event": "note", "words": "Drawing the report …"})
            page.write(load.load([compared.folder]), compared.folder)
            if options.tensorboard:
                write_confusion_matrices(compared.folder, compared.results)
        except BaseException:
            if kept:
                command = shlex.join(["lockstep", "report", kept[0]])
                print(f"\nThe training is whole and kept; `{command}` draws it.", file=sys.stderr)
            raise
    _say(compared, options)
    return 0 if compared.well else FAILED


def _check(options: Namespace) -> None:
    if options.repeats < 1:
        raise LockstepError(f"--repeats is {options.repeats}; at least 1 run is needed.")
    shared.require_steps(options.proof, "--proof", least=0)
    if options.tensorboard and not find_spec("tensorboard"):
        add = registry.install_command(["tensorboard"])
        raise LockstepError(f"TensorBoard is not installed here; {add} adds it.")


def _as_tutorial(options: Namespace, backends: tuple[str, ...]) -> bool:
    """Whether frameworks are to train as their tutorials do too; one of them must have a way."""
    if one_of(("fast", "tutorial"), options.fit, "way to train") == "fast":
        return False
    if not any(map(registry.tutorial, backends)):
        others = ", ".join(filter(registry.tutorial, registry.names()))
        raise LockstepError(
            f"{' and '.join(backends)} can train one way only; --fit tutorial is for {others}."
        )
    return True


def _say(compared: Compared, options: Namespace) -> None:
    """The table, the proofs, and where things lie, on stdout; what failed, on stderr."""
    if not options.quiet:
        print()
        terminal.print_comparison(compared.results)
        terminal.print_proofs(compared.proofs)
        print(f"\nReport: {compared.folder / 'report.html'}")
        if options.tensorboard:
            print(f"TensorBoard: {shlex.join(['tensorboard', '--logdir', str(compared.folder)])}")
    for failed, why in compared.results.failures.items():
        print(f"lockstep: {failed} failed: {why}", file=sys.stderr)
    for complaint in terminal.proof_complaints(compared.proofs, compared.proof_failed):
        print(f"lockstep: {complaint}", file=sys.stderr)


def write_confusion_matrices(folder: Path, results: Results) -> None:
    """Give TensorBoard each training's confusion matrix, the report's figure, as a picture."""
    from ..training import tensorboard

    classes, title = results.dataset.classes, results.dataset.title
    for label, result in trainings(results.backends).items():
        for repeat, seed in enumerate(result.runs):
            matrix = np.array(seed.confusion_matrix)
            figure = figures.confusion_matrix(matrix, classes, label.split(",")[0], title)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
            place = events_folder(folder, label, seed.seed, repeat) / "validation"
            last = len(seed.history) - 1
            tensorboard.write_image(place, "confusion_matrix", buffer.getvalue(), last)
