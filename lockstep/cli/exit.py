"""How a command ends: its exit code, its one error message, and what signals do to it."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable

from ..errors import FAILED, UNUSABLE, LockstepError, reason

INTERRUPTED = 130  # Ctrl-C, by the shell's convention 128 + SIGINT
READER_LEFT = 141  # likewise 128 + SIGPIPE


def exit_code(command: Callable[[], int | None]) -> int:
    """Run a command and turn how it ended into an exit code and at most one line on stderr."""
    _end_as_if_interrupted()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a Windows code page has no "→"
            stream.reconfigure(errors="replace")
    try:
        return command() or 0
    except LockstepError as error:
        return _complain(str(error), error.exit_code)
    except MemoryError:
        return _complain("There is not enough memory for this; choose something smaller.", FAILED)
    except KeyboardInterrupt:
        print("\nlockstep: interrupted; nothing unfinished was kept.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `lockstep … | head`: the reader has left, and so do we, quietly
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_LEFT
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _complain(f"Cannot read or write{where}: {reason(error)}.", UNUSABLE)


def _complain(sentence: str, code: int) -> int:
    print(f"lockstep: {sentence}", file=sys.stderr)
    return code


def _end_as_if_interrupted() -> None:
    """Let a `kill` or a closed terminal clean up as Ctrl-C does; exit code 128 + the signal."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) != signal.SIG_IGN:  # which nohup sets
            signal.signal(number, lambda number, frame: sys.exit(128 + number))
