"""The command line: every command and its flags. What they do is in `commands.py`.

Nothing heavy is imported here, so that `lockstep --help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from . import __version__
from .errors import LockstepError, exit_code, one_of

COMMANDS = {
    "compare": "train every installed backend and compare them",
    "train": "train one backend",
    "verify": "prove that the frameworks compute the same, or check your own network",
    "explain": "why two programs differ, one choice at a time",
    "report": "build a run's page again, or one page of several runs",
    "bench": "this project beside what a user would pick instead",
    "data": "show which datasets are here, or download one",
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one sentence, as every other complaint here."""

    def error(self, message: str):
        raise LockstepError(f"{message}; see `{self.prog} --help`.")


def parser() -> Parser:
    """All commands and their flags."""
    top = Parser(
        prog="lockstep",
        description="One neural network, every framework, the same numbers.",
        epilog="`lockstep COMMAND --help` lists a command's flags.",
    )
    top.add_argument("--version", action="version", version=f"lockstep {__version__}")
    subparsers = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands = {name: subparsers.add_parser(name, help=words) for name, words in COMMANDS.items()}
    _compare_flags(commands["compare"])
    _train_flags(commands["train"])
    _verify_flags(commands["verify"])
    _explain_flags(commands["explain"])
    _report_flags(commands["report"])
    _bench_flags(commands["bench"])
    _data_flags(commands["data"])
    return top


def _compare_flags(command: Parser) -> None:
    command.add_argument(
        "--backends", metavar="NAMES", help="e.g. numpy,torch (default: every installed one)"
    )
    _training_flags(command)


def _train_flags(command: Parser) -> None:
    command.add_argument(
        "backend", metavar="BACKEND", help="numpy, torch, tensorflow, jax or numba"
    )
    _training_flags(command)


def _training_flags(command: Parser) -> None:
    add = command.add_argument_group("the training").add_argument
    add("--repeats", type=int, default=1, metavar="N", help="train with N seeds (1)")
    add(
        "--fit",
        default="fast",
        metavar="NAME",
        help="fast, or idiomatic: as the tutorials do too, to see what that costs (fast)",
    )
    add(
        "--proof",
        type=int,
        metavar="STEPS",
        help="updates of a proof at the end (compare: 200, train: 0)",
    )
    add(
        "--validation",
        type=int,
        metavar="N",
        help="choose a recipe without the test set: the last N training images stand in for it",
    )
    add("--tensorboard", action="store_true", help="write what TensorBoard shows into the run")
    _recipe_flags(command)
    _place_flags(command)
    _run_flags(command)


def _verify_flags(command: Parser) -> None:
    command.add_argument(
        "file", nargs="?", metavar="FILE", help="your own network in Python, to be checked"
    )
    add = command.add_argument_group("the proof").add_argument
    add("--template", metavar="FILE", help="write a commented file to start your own from")
    add("--backends", metavar="NAMES", help="held against numpy (default: every installed one)")
    add("--steps", type=int, metavar="N", help="updates (100; 10 for your own)")
    add("--view", metavar="NAME", help="synced or free (default: both)")
    add("--tolerance", type=float, metavar="X", help="largest difference that is the same")
    add("--time-limit", type=float, default=60.0, metavar="S", help="for your own file (60 s)")
    add("--json", action="store_true", help="print every difference as JSON")
    add("--quiet", action="store_true", help="the exit code alone: 0 the same, 1 not, 2 unusable")
    _recipe_flags(command)
    _place_flags(command)


def _explain_flags(command: Parser) -> None:
    command.add_argument("left", nargs="?", default="tensorflow", metavar="LEFT")
    command.add_argument("right", nargs="?", default="torch", metavar="RIGHT")
    command.add_argument("--seeds", type=int, default=3, metavar="N", help="repeated over (3)")
    command.add_argument("--steps", type=int, metavar="N", help="updates (one epoch)")
    _recipe_flags(command)
    _place_flags(command)
    _run_flags(command)


def _report_flags(command: Parser) -> None:
    add = command.add_argument
    add("runs", nargs="+", metavar="RUN", help="a run's folder, or its name; several: one page")
    add("--format", default="html", metavar="NAME", help="html, or md: Markdown on stdout (html)")
    add("--open", action="store_true", help="show the page in the browser")
    _run_flags(command)


def _bench_flags(command: Parser) -> None:
    add = command.add_argument_group("what is measured (else the race: whole epochs)").add_argument
    add("--growth", action="store_true", help="how cost grows with width, depth, batch, …")
    add("--to", metavar="PERCENT", help="time to a test accuracy: 97 or 98")
    add = command.add_argument_group("how").add_argument
    add("--with", dest="file", metavar="FILE", help="race those of a Python file too")
    add("--only", metavar="WORDS", help="those whose names hold one of these, e.g. numba,jax")
    add("--rounds", type=int, metavar="N", help="of the race (5)")
    add("--batch-sizes", metavar="SIZES", help="of the race (32,128)")
    add("--seeds", type=int, metavar="N", help="with --to (8)")
    group = command.add_argument_group("data")
    group.add_argument("--dataset", metavar="NAME", help="mnist, fashion-mnist, kmnist or digits")
    _data_dir_flag(group)
    _run_flags(command)


def _data_flags(command: Parser) -> None:
    command.add_argument("--fetch", metavar="NAME", help="download a dataset into the cache folder")
    _data_dir_flag(command)


def _recipe_flags(command: Parser) -> None:
    group = command.add_argument_group("the recipe (else 784-128-10, ReLU, Adam 0.001)")
    add = group.add_argument
    add("--recipe", metavar="FILE", help="settings from a TOML file, or a name in recipes/")
    add("--hidden", metavar="SIZES", help="hidden sizes, e.g. 128 or 128,64")
    add("--activation", metavar="NAME", help="relu, tanh or sigmoid")
    add("--optimizer", metavar="NAME", help="sgd, momentum, nesterov, rmsprop, adam or adamw")
    add("--lr", dest="learning_rate", type=float, metavar="X", help="learning rate")
    add("--schedule", metavar="NAME", help="of the rate: constant, cut, linear or cosine")
    add("--l2", type=float, metavar="X", help="L2 penalty on the weights (0)")
    add("--batch-size", type=int, metavar="N", help="images in one update")
    add("--epochs", type=int, metavar="N", help="passes over the training set (5)")
    add("--seed", type=int, metavar="N", help="of first weights and batch order (0)")
    add("--dtype", metavar="NAME", help="float32 or float64")
    add("--dialect", metavar="NAME", help="the formulas of the network by hand: torch or keras")


def _place_flags(command: Parser) -> None:
    group = command.add_argument_group("data and device")
    group.add_argument("--dataset", metavar="NAME", help="mnist, fashion-mnist, kmnist or digits")
    _data_dir_flag(group)
    group.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or mps")


def _data_dir_flag(command) -> None:
    command.add_argument("--data-dir", metavar="DIR", help="folder with the dataset's four files")


def _run_flags(command: Parser) -> None:
    add = command.add_argument_group("the run").add_argument
    add("--name", help="of the run's folder (default: from dataset and time)")
    add("--out", default="runs", metavar="DIR", help="where runs are kept (runs)")
    add("--quiet", action="store_true", help="print nothing but complaints")


def main(arguments: list[str] | None = None) -> int:
    """Parse and run; the exit code says how it went (0 well, 1 in part, 2 not usable)."""
    arguments = sys.argv[1:] if arguments is None else arguments

    def command() -> int:
        if arguments and not arguments[0].startswith("-"):
            one_of(COMMANDS, arguments[0], "command")
        options = parser().parse_args(arguments)
        return getattr(import_module("lockstep.commands"), options.command)(options)

    return exit_code(command)
