"""The command line's reference, from the parsers that read it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from lockstep.cli import main

from .markdown import code, table

TITLES = {"positional arguments": "What it takes", "options": "Flags"}
"""What argparse calls its own two groups, and what we call them."""
LONG = 10


def markdown() -> str:
    """A section for each command: how it is called, and every flag."""
    return "\n\n".join(_section(name) for name in main.COMMANDS)


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of one command, with all its flags."""
    (commands,) = (
        action
        for action in main.parser(command)._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return commands.choices[command]


def groups(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[argparse.Action]]]:
    """The groups of a parser's flags by their titles, without `--help`; none is empty."""
    for group in parser._action_groups:
        actions = [a for a in group._group_actions if not isinstance(a, argparse._HelpAction)]
        if actions:
            yield group.title or "", actions


def _section(command: str) -> str:
    parser = parser_of(command)
    positional = [_names(a) for a in parser._actions if not a.option_strings]
    usage = " ".join([parser.prog, *positional, "[FLAGS]"])
    parts = [f"## lockstep {command}", parser.description or "", f"```text\n{usage}\n```"]
    for title, actions in groups(parser):
        rows = [(code(_names(action)), _meaning(parser, action)) for action in actions]
        parts.append(_group(TITLES.get(title, title.capitalize()), rows))
    return "\n\n".join(parts)


def _group(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """A table under its title; a long one is folded."""
    flags = table(("as you type it", "meaning"), rows)
    if len(rows) > LONG:
        return f":::{{dropdown}} {title}: {len(rows)} flags\n{flags}\n:::"
    return f"**{title}**\n\n{flags}"


def _names(action: argparse.Action) -> str:
    """As it is typed: `--steps N`, `-h, --help`, `[FILE]`, `RUN …`."""
    value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    if action.option_strings:
        return f"{', '.join(action.option_strings)} {value}".strip()
    return {"?": f"[{value}]", "+": f"{value} …"}.get(str(action.nargs), value)


def _meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    words = (action.help or "") % {**vars(action), "prog": parser.prog}
    return words.replace("<", "&lt;").replace("*", "\\*")
