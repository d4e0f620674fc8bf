"""One backend in a process of its own, so that thread pools do not fight and memory is its own.

The parent writes one job as JSON to the worker's stdin; the worker answers with one JSON event a
line on its stdout, the last of which is {"event": "finished", "result": …} or
{"event": "failed", "message": …}. What a framework prints goes to stderr instead.
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
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import IO, TYPE_CHECKING, Any

from .errors import LockstepError

if TYPE_CHECKING:  # the worker counts NumPy's import as the framework's
    from .datasets import Dataset
    from .recipe import Recipe


ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Environment of a process in which two libraries take turns: their thread pools would fight for
the cores, and a step of NumPy beside PyTorch takes ten times as long (two cores: 88 ms, not 7)."""


class WorkerFailed(Exception):
    """The job could not be done; the message says why, `unusable` whether its input is to blame."""

    def __init__(self, message: str, unusable: bool = False) -> None:
        super().__init__(message)
        self.unusable = unusable


def run(job: dict, tell: Callable[[dict], None], settings: Mapping[str, str] | None = None) -> Any:
    """Do a task of this package with one backend; returns its result, raises WorkerFailed.

    A job is what `job` makes, and what its task wants besides. The task is a module of this package
    with a function `work(job, network_class, data, tell) -> result`. `settings` are environment
    variables that the worker gets besides its parent's.
    """
    return send(__name__, job, tell, settings=settings)


def send(
    module: str,
    job: dict,
    tell: Callable[[dict], None],
    time_limit: float | None = None,
    settings: Mapping[str, str] | None = None,
) -> Any:
    """Do a job by the module's `main`, which calls `serve`, in a fresh Python process.

    Returns its result; raises WorkerFailed, also when it takes more than `time_limit` seconds.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
        process = start(module, stderr, settings)
        alarm = _Alarm(process, time_limit)
        try:
            event = _converse(process, job, tell)
        finally:  # also when interrupted: no orphan goes on training
            alarm.timer.cancel()
            stop(process)
        if event.get("event") == "finished":
            return event["result"]
        if event.get("event") == "failed":
            raise WorkerFailed(event["message"], event.get("unusable", False))
        if alarm.rang:
            raise WorkerFailed(f"it was not done after {time_limit:g} s and was stopped")
        raise WorkerFailed(epitaph(process.returncode, stderr))


def start(
    module: str, stderr: IO, settings: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """A fresh Python process that runs a module, which we talk to by its stdin and stdout."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module],  # no file of the working folder is a module here
        env={**os.environ, **(settings or {}), "PYTHONPATH": _python_path()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        encoding="utf-8",
        **_own_process_group(),
    )


def stop(process: subprocess.Popen) -> None:
    """Kill it with all that it has started, and let go of its pipes."""
    _end(process)
    process.wait()
    for pipe in filter(None, (process.stdin, process.stdout)):
        with contextlib.suppress(OSError):  # what it did not read is still in the pipe
            pipe.close()


def _converse(process: subprocess.Popen, job: dict, tell: Callable[[dict], None]) -> dict:
    """Send the job, pass events on; the last event, or {} if the worker died without one."""
    assert process.stdin and process.stdout
    try:
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()  # and stays open: the worker takes its end for ours
    except OSError:  # it has died before it read a word
        return {}
    event: dict = {}
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] in ("finished", "failed"):
            break
        tell(event)
    else:
        event = {}
    process.stdout.close()
    if not event:
        process.wait()
    return event


def _python_path() -> str:
    """This package first, wherever it was imported from; then what the user has set."""
    ours = str(Path(__file__).parent.parent)
    return os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))


def _own_process_group() -> dict:
    """Ctrl-C reaches the parent alone, which then ends the worker."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


class _Alarm:
    """Ends a process when its time is over; without a limit it never rings."""

    def __init__(self, process: subprocess.Popen, seconds: float | None) -> None:
        self.process, self.rang = process, False
        self.timer = threading.Timer(seconds or 0, self.ring)
        if seconds is not None:
            self.timer.start()

    def ring(self) -> None:
        self.rang = True
        _end(self.process)


def _end(process: subprocess.Popen) -> None:
    """Kill it, and what it has started itself, which would keep our pipe open."""
    if process.returncode is None and sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def epitaph(code: int, stderr) -> str:
    """What can be said of a worker that died without a word."""
    stderr.seek(0)
    lines = [line.strip() for line in stderr if line.strip()]
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    memory = " (out of memory, perhaps)" if code == -9 else ""
    return f"its process {how}{memory}{': ' + lines[-1] if lines else ''}"


def job(
    task: str, backend: str, recipe: Recipe, data: Dataset, device: str, idiomatic: bool = False
) -> dict:
    """What every job says; `train.work` and `verify.work` document what theirs says besides."""
    return {
        "task": task,
        "backend": backend,
        "idiomatic": idiomatic,
        "recipe": recipe.to_dict(),
        "dataset": {
            "name": data.name,
            "folder": data.folder and str(data.folder.resolve()),
            "validation": data.validation,
        },
        "device": device,
    }


def recipe_of(job: dict) -> Recipe:
    """The recipe that a job carries."""
    from .recipe import from_dict

    return from_dict(job["recipe"], "the job")


def _work(job: dict, tell: Callable[[dict], None]) -> dict:
    """Import the framework, under the stopwatch and on the scales, then the data; do the task."""
    start = perf_counter()
    network_class = import_module("lockstep.backend").load(job["backend"], job["idiomatic"])
    job["import_seconds"] = perf_counter() - start

    from . import datasets
    from .results import peak_rss_bytes

    job["import_rss_bytes"] = peak_rss_bytes()

    folder, validation = job["dataset"]["folder"], job["dataset"]["validation"]
    data = datasets.read(job["dataset"]["name"], folder and Path(folder))
    data = data.validated(validation) if validation else data
    task = import_module(f"lockstep.{job['task']}")
    return task.work(job, network_class, data, tell)


def main() -> int:
    """Do one task with one backend."""
    return serve(_work)


def _end_with(parent: IO[str]) -> None:
    """Wait for the end of the stdin we were given: it comes when the parent is gone."""
    parent.read()
    os._exit(1)


def teller() -> Callable[[dict], None]:
    """What writes events on the stdout that we were given; what is printed goes to stderr."""
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(event: dict) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    return tell


def serve(work: Callable[[dict, Callable[[dict], None]], dict]) -> int:
    """Read one job from stdin, do it, tell how it went on the stdout that we were given."""
    tell = teller()
    job = json.loads(sys.stdin.readline())
    parent = os.fdopen(os.dup(sys.stdin.fileno()))
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())  # who reads finds nothing
    try:
        tell({"event": "finished", "result": work(job, tell)})
    except LockstepError as error:
        tell({"event": "failed", "message": str(error), "unusable": True})
    except BrokenPipeError:
        return 1  # nobody listens any more
    except Exception as error:  # the framework's own failure, passed on in its own words
        lines = str(error).strip().splitlines() or [""]
        tell({"event": "failed", "message": f"{type(error).__name__}: {lines[0]}".rstrip(": ")})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
