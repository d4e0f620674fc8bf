"""The command line: which commands there are. Each has a file of its own, with its flags.

Nothing heavy is imported here, so that `lockstep --help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, NoReturn

from .. import __version__
from ..errors import LockstepError, one_of
from .exit import exit_code

COMMANDS = {
    "compare": "train every installed backend and compare them",
    "train": "train one backend",
    "verify": "prove that the frameworks compute the same, or check your own network",
    "explain": "say why two programs differ, one choice at a time",
    "report": "build a run's page again, or one page of several runs",
    "data": "show which datasets are here, or download one",
}
"""Name → what it does. The file of the same name has `add_flags(parser)` and `run(options)`."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence, as every other error here."""

    def error(self, message: str) -> NoReturn:
        raise LockstepError(f"{message}; see `{self.prog} --help`.")


def parser(command: str | None = None) -> Parser:
    """All commands; the flags of one, which imports what they speak of."""
    top = Parser(
        prog="lockstep",
        description="One neural network, every framework, the same numbers.",
        epilog="`lockstep COMMAND --help` lists a command's flags.",
    )
    top.add_argument("--version", action="version", version=f"lockstep {__version__}")
    subparsers = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, words in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=words, description=f"{words.capitalize()}.")
        if name == command:
            _module(name).add_flags(subparser)
    return top


def _module(command: str) -> Any:
    return import_module(f".{command}", __package__)


def main(arguments: list[str] | None = None) -> int:
    """Parse and run; the exit code says how it went (0 well, 1 in part, 2 not usable)."""
    given = sys.argv[1:] if arguments is None else arguments

    def command() -> int:
        name = given[0] if given and not given[0].startswith("-") else None
        if name is not None:
            one_of(COMMANDS, name, "command")
        options = parser(name).parse_args(given)
        run: Callable[[argparse.Namespace], int] = _module(options.command).run
        return run(options)

    return exit_code(command)
