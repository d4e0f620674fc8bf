"""The child's side of a conversation: read a request, do it, answer; again, until the parent goes.

A request is one line of JSON on stdin. The answer is lines of JSON on the stdout that the process
was given: any number of events, then {"event": "finished", "result": …} or {"event": "failed",
"message": …, "unusable": whether the input is to blame}. Whatever else is printed goes to stderr.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from ..errors import LockstepError
from .events import Event, OnEvent

Request = dict[str, Any]
Work = Callable[[Request, OnEvent], Any]
"""Does one request, tells events on the way, returns the result."""


def serve(work: Work) -> int:
    """Do every request that comes; returns the exit code when nobody listens any more."""
    on_event = _speaker()
    requests = _requests()
    while True:
        try:
            on_event(_answer(work, requests.get(), on_event))
        except BrokenPipeError:
            return 1


def serve_backend(task: Callable[[Request, Any, Any, OnEvent], Any]) -> int:
    """Do requests that a backend is needed for, such as `jobs.job` makes.

    `task(job, network_class, data, on_event)` gets the backend's class and the dataset. Importing
    the framework is timed and weighed: "import_seconds" and "import_rss_bytes" are put into the
    job. So a module that calls this must not import NumPy itself.
    """

    def work(job: Request, on_event: OnEvent) -> Any:
        start = perf_counter()
        from ..backends import registry

        registry.require(job["backend"])
        for variable, value in registry.ROWS[job["backend"]].environment.items():
            os.environ.setdefault(variable, value)
        network_class = registry.load(job["backend"], job["as_tutorial"])
        job["import_seconds"] = perf_counter() - start

        from ..data import datasets
        from ..runs.machine import peak_rss_bytes

        job["import_rss_bytes"] = peak_rss_bytes()
        folder, validation = job["dataset"]["folder"], job["dataset"]["validation"]
        data = datasets.read(job["dataset"]["name"], folder and Path(folder))
        data = data.validated(validation) if validation else data
        return task(job, network_class, data, on_event)

    return serve(work)


def _answer(work: Work, request: Request, on_event: OnEvent) -> Event:
    """The last event of a request: its result, or why there is none."""
    try:
        return {"event": "finished", "result": work(request, on_event)}
    except LockstepError as error:
        return {"event": "failed", "message": str(error), "unusable": True}
    except BrokenPipeError:
        raise
    except Exception as error:  # the framework's own failure, passed on in its own words
        lines = str(error).strip().splitlines() or [""]
        message = f"{type(error).__name__}: {lines[0]}".rstrip(": ")
        return {"event": "failed", "message": message, "unusable": False}


def _speaker() -> OnEvent:
    """What writes events on the stdout that we were given; what is printed goes to stderr."""
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def on_event(event: Event) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    return on_event


def _requests() -> queue.SimpleQueue[Request]:
    """What the parent asks, as it comes. When the parent is gone, so is this process, at once."""
    parent = os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())  # who reads finds nothing
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()

    def listen() -> None:
        for line in parent:
            requests.put(json.loads(line))
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    return requests
