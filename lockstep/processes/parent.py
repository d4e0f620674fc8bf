"""The parent's side of a conversation: start a process that runs one module, send it requests.

`child.py` says how it answers. Every framework, every student's file and every contender computes
in a process of its own, so that thread pools do not fight, memory is its own, and a crash takes
nothing along.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

from .events import Event, OnEvent, nobody

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Environment of a process in which two libraries take turns: their thread pools would fight for
the cores, and a step of NumPy beside PyTorch takes ten times as long (two cores: 88 ms, not 7)."""


class ChildFailed(Exception):
    """A request could not be done; the message says why.

    `unusable` says whether its input is to blame.
    """

    def __init__(self, message: str, unusable: bool = False) -> None:
        super().__init__(message)
        self.unusable = unusable


def send(
    module: str,
    request: dict[str, Any],
    on_event: OnEvent = nobody,
    time_limit: float | None = None,
    settings: Mapping[str, str] | None = None,
) -> Any:
    """Ask a fresh process one thing (`Child.ask`) and end it."""
    with Child(module, settings) as child:
        return child.ask(request, on_event, time_limit)


class Child:
    """A fresh Python process that runs a module, which serves; it is gone when the block ends.

    `settings` are environment variables that it gets besides its parent's.
    """

    def __init__(self, module: str, settings: Mapping[str, str] | None = None) -> None:
        self.module, self.settings = module, settings or {}

    def __enter__(self) -> Self:
        self.stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", self.module],  # no file of the working folder is a module
            env={**os.environ, **self.settings, "PYTHONPATH": _python_path()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            encoding="utf-8",
            **_own_process_group(),
        )
        return self

    def __exit__(self, *error: object) -> None:
        """End it, also when interrupted: no orphan goes on training."""
        self.close()

    def close(self) -> None:
        """Kill it with all that it has started, and let go of its pipes."""
        _kill(self.process)
        self.process.wait()
        for pipe in filter(None, (self.process.stdin, self.process.stdout)):
            with contextlib.suppress(OSError):  # what it did not read is still in the pipe
                pipe.close()
        self.stderr.close()

    def ask(
        self,
        request: dict[str, Any],
        on_event: OnEvent = nobody,
        time_limit: float | None = None,
    ) -> Any:
        """One request: passes its events on, returns its result.

        Raises ChildFailed, also when it takes more than `time_limit` seconds; the process is ended
        then.
        """
        with _Alarm(self.process, time_limit) as alarm:
            event = self._converse(request, on_event)
        if event.get("event") == "finished":
            return event["result"]
        if event.get("event") == "failed":
            raise ChildFailed(event["message"], event["unusable"])
        if alarm.rang:
            raise ChildFailed(f"timed out after {time_limit:g} s")
        self.process.wait()
        raise ChildFailed(_epitaph(self.process.returncode, self.stderr))

    def _converse(self, request: dict[str, Any], on_event: OnEvent) -> Event:
        """Send the request, pass events on; the last event, or {} if the child died without one."""
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()  # and stays open: the child takes its end for ours
        except OSError:  # it has died before it read a word
            return {}
        for line in self.process.stdout:
            event: Event = json.loads(line)
            if event["event"] in ("finished", "failed"):
                return event
            on_event(event)
        return {}


def _python_path() -> str:
    """This package first, wherever it was imported from; then what the user has set."""
    ours = str(Path(__file__).parents[2])
    return os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))


def _own_process_group() -> dict[str, Any]:
    """Ctrl-C reaches the parent alone, which then ends the child."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


class _Alarm:
    """Ends a process when its time is over; without a limit it never rings."""

    def __init__(self, process: subprocess.Popen[str], seconds: float | None) -> None:
        self.process, self.rang = process, False
        self.timer = threading.Timer(seconds or 0, self.ring)
        self.set = seconds is not None

    def __enter__(self) -> Self:
        if self.set:
            self.timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.timer.cancel()

    def ring(self) -> None:
        self.rang = True
        _kill(self.process)


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill it, and what it has started itself, which would keep our pipe open."""
    if process.returncode is None and sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _epitaph(code: int, stderr: IO[str]) -> str:
    """What can be said of a child that died without a word."""
    stderr.seek(0)
    lines = [line.strip() for line in stderr if line.strip()]
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    memory = " (out of memory, perhaps)" if code == -9 else ""
    return f"its process {how}{memory}{': ' + lines[-1] if lines else ''}"
