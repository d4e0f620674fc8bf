"""What goes wrong, said in one sentence: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

FAILED = 1  # the work was done and did not succeed everywhere
UNUSABLE = 2  # the input cannot be used; nothing was written


class LockstepError(Exception):
    """Input that cannot be used. The message is the sentence the user reads."""

    exit_code = UNUSABLE


class TrainingFailed(LockstepError):
    """The input was fine, and still nothing could be trained."""

    exit_code = FAILED


def one_of(known: Iterable[str], name: str, what: str) -> str:
    """Return `name` if it is known, else raise with the nearest known name."""
    known = list(known)
    if name in known:
        return name
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise LockstepError(f"There is no {what} {name!r}{hint} Known: {', '.join(known)}.")


def reason(error: OSError) -> str:
    """The operating system's words for an error, e.g. `permission denied`."""
    return (error.strerror or str(error)).lower()
