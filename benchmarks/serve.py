"""A contender's process: it builds one trainer, and trains when it is told to.

Requests and answers pass as `lockstep/processes/child.py` has them. A contender whose package is
not installed answers {"absent": why}.

    {"do": "narrow", "cores": 1}      use that many cores alone; before anything is imported
    {"do": "names", "file": path}     → {"contenders", "reference", "bars": [[ours, theirs, {…}]]}
    {"do": "build", "task", …}        → what the task's module tells; the job is the task's
    {"do": "turn", "seed": 3}         → {"seconds", "cpu", "waited"}
    {"do": "judge"}                   → {"accuracy", "peak_rss_bytes", "versions"}

Nothing but an epoch is inside the seconds.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from lockstep.errors import LockstepError
from lockstep.processes.child import serve
from lockstep.processes.events import OnEvent

from .load import waited_seconds


class Server:
    """What has been built, and the data that it learns."""

    trainer: Any = None
    data: Any = None

    def narrow(self, cores: int) -> None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])

    def names(self, file: str | None) -> dict:
        from .field import field

        found = field(file)
        bars = [(*pair, bars) for pair, bars in found.bars.items()]
        return {"contenders": list(found.contenders), "reference": found.reference, "bars": bars}

    def build(self, task: str, dataset: dict, **job: Any) -> dict:
        """Make the trainer and let it train once, which may compile."""
        from lockstep.data import datasets

        if self.data is None:
            folder = dataset["folder"]
            self.data = datasets.read(dataset["name"], folder and Path(folder))
        self.trainer = None
        gc.collect()  # a framework's graphs refer to one another
        start = time.perf_counter()
        self.trainer, told = import_module(f"benchmarks.{task}").build(self.data, **job)
        return {"build_seconds": time.perf_counter() - start, **told}

    def turn(self, seed: int) -> dict:
        waited, cpu, start = waited_seconds(), time.process_time(), time.perf_counter()
        self.trainer.epoch(seed)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        if waited is not None:
            waited = (waited_seconds() or 0.0) - waited
        return {"seconds": seconds, "cpu": cpu, "waited": waited}

    def judge(self) -> dict:
        """How much of the test set it has learned, by its own answers."""
        import numpy as np

        from lockstep.runs.machine import peak_rss_bytes

        told: dict[str, Any] = {"accuracy": None, "versions": _versions()}
        told["peak_rss_bytes"] = peak_rss_bytes()  # before the test set is asked for
        if self.trainer.predict:
            images, labels = self.data.test
            answers = np.asarray(self.trainer.predict(images))
            if answers.shape != labels.shape:
                raise LockstepError(f"predict gave {answers.shape}, not {labels.shape} classes.")
            told["accuracy"] = float(np.mean(answers == labels))
        return told


def _versions() -> dict[str, str]:
    """Every module in use that says its version."""
    found = {}
    for name, module in sorted(sys.modules.items()):
        version = vars(module).get("__version__")  # `getattr` may make a lazy module import more
        if isinstance(version, str) and "." not in name and name not in sys.stdlib_module_names:
            found[name] = version
    return found


def _do(server: Server, request: dict, on_event: OnEvent) -> Any:
    """One request; a package that is not there is no failure but an answer."""
    try:
        return getattr(server, request.pop("do"))(**request)
    except ImportError as error:
        known = error.name and f"{error.name} is not installed"
        return {"absent": "; ".join(filter(None, (known, str(error).removesuffix("."))))}


if __name__ == "__main__":
    raise SystemExit(serve(partial(_do, Server())))
