"""A backend in a process of its own: what it tells, and what is told when it dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from lockstep.data import datasets
from lockstep.processes import jobs
from lockstep.processes.parent import ChildFailed, send
from lockstep.recipe import Recipe
from lockstep.training import child

pytestmark = pytest.mark.costly


def run(job, on_event):
    return send(child.__name__, job, on_event)


def job(backend="numpy", device="auto", **settings):
    recipe = Recipe(**{"hidden": (16,), "epochs": 2, **settings})
    base = jobs.job(backend, recipe, datasets.load("digits"), device)
    return {**base, "weights": None, "first_epoch_weights": None, "test_logits": None}


def test_it_tells_that_it_is_ready_then_how_far_it_is_then_each_epoch():
    events = []
    result = run(job(), events.append)
    kinds = [event["event"] for event in events]
    assert kinds[0] == "ready" and kinds[-1] == "epoch" and kinds.count("epoch") == 2
    shares = [event["epochs_done"] for event in events if event["event"] == "running"]
    assert shares == sorted(shares) and shares[-1] == 2
    assert [entry["epoch"] for entry in result["history"]] == [1, 2]
    assert 10 << 20 < result["import_rss_bytes"] < result["peak_rss_bytes"]


def test_running_and_evaluated_accuracy_are_different_things():
    """The running mean lags behind: its weights are those of the whole epoch (design/semantics)."""
    first = run(job(), lambda event: None)["history"][0]
    assert first["running_accuracy"] < first["train_accuracy"] - 0.05
    assert first["running_loss"] > first["train_loss"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"device": "cuda"}, "cannot compute in float32 on 'cuda' here"),
        ({"optimizer": "sgd", "learning_rate": 1e30}, "the training diverged; lower the learning"),
    ],
)
def test_what_cannot_be_done_comes_back_as_a_sentence(settings, words):
    with pytest.raises(ChildFailed, match=words):
        run(job(**settings), lambda event: None)


def test_a_framework_that_breaks_is_quoted(monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('libtorch.so: cannot open')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ChildFailed, match=r"ImportError: libtorch\.so: cannot open"):
        run(job("torch"), lambda event: None)


def test_what_a_framework_prints_does_not_disturb_the_events(monkeypatch, tmp_path):
    noisy = tmp_path / "torch.py"
    noisy.write_text("import os; print('noise'); os.write(1, b'more'); raise ImportError('so')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ChildFailed, match="ImportError: so"):
        run(job("torch"), lambda event: None)


def test_a_worker_that_is_killed_is_mourned_with_its_last_words(monkeypatch, tmp_path):
    noisy = tmp_path / "torch.py"
    noisy.write_text("import os, sys; print('last words', file=sys.stderr); os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ChildFailed, match=r"killed by signal 6: .*"):
        run(job("torch"), lambda event: None)


@pytest.mark.skipif(os.name == "nt", reason="Windows kills no process by a signal")
def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    code = "import test_processes as t; t.run(t.job(epochs=100_000), lambda event: None)"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent)
    deadline = time.monotonic() + 30
    while not (children := psutil.Process(parent.pid).children()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(2)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def test_interrupting_leaves_no_orphan():
    def interrupt():
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not psutil.Process().children():
            time.sleep(0.01)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(job(epochs=100_000), lambda event: None)
    thread.join()
    assert psutil.Process().children() == []


def test_a_process_of_its_own_gets_its_frameworks_environment():
    """Unless the user has set it; `load_backend` in the user's own process sets nothing."""
    code = """
import json
import os
from lockstep.backends import registry
from lockstep.processes import child
row = registry.ROWS["numpy"]._replace(environment={"ASKED": "ours", "SET": "ours"})
registry.ROWS["numpy"] = row
child.serve_backend(lambda job, *rest: {name: os.environ.get(name) for name in ("ASKED", "SET")})
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "SET": "theirs"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps(job()) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
    assert answer["result"] == {"ASKED": "ours", "SET": "theirs"}
