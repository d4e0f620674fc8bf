"""What goes wrong, said in one sentence: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable

FAILED = 1  # the work was done and did not succeed everywhere
UNUSABLE = 2  # the input cannot be used; nothing was written
INTERRUPTED = 130  # Ctrl-C, by the shell's convention 128 + SIGINT


class LockstepError(Exception):
    """Input that cannot be used. The message is the sentence the user reads."""


def one_of(known: Iterable[str], name: str, what: str) -> str:
    """Return `name` if it is known, else raise with the nearest known name."""
    known = list(known)
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}."
    raise LockstepError(f"There is no {what} {name!r}; {hint}")


def reason(error: OSError) -> str:
    """The operating system's words for an error, e.g. `permission denied`."""
    return (error.strerror or str(error)).lower()


def exit_code(command: Callable[[], int | None]) -> int:
    """Run a command and turn how it ended into an exit code and at most one line on stderr."""
    try:
        return command() or 0
    except LockstepError as error:
        print(f"lockstep: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("\nlockstep: interrupted; nothing unfinished was kept.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `lockstep … | head`: the reader has left, which is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
