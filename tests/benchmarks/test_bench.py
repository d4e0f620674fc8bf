"""`python -m benchmarks`: who trains when, what is counted, and what a reader is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import absent, installed, lockstep

from benchmarks import contenders, floors, growth, load, pace, record, tables, target, turns
from benchmarks.publish import KEPT, PAGE, compact, written
from benchmarks.race import choose, summarise
from lockstep.errors import LockstepError

pytestmark = pytest.mark.costly

ROOT = Path(__file__).parents[2]
CONTENDERS = '''
import time
from pathlib import Path
import numpy as np

def nearest(batch_size, images, labels):
    """Honest: the nearest mean image, which is right on nine digits of ten."""
    means = np.stack([images[labels == c].mean(axis=0) for c in range(10)])
    def predict(images):
        return ((images[:, None, :].astype(float) - means) ** 2).sum(axis=2).argmin(axis=1)
    return lambda seed: time.sleep(0.02), predict

def cheat(batch_size, images, labels):
    print("a contender may print")
    return lambda seed: None, lambda images: np.zeros(len(images))

def absent(batch_size, images, labels):
    import nothing_of_that_name

def broken(batch_size, images, labels):
    def epoch(seed):
        if seed == 2:
            raise ValueError("the second round is too much")
    return epoch, lambda images: np.zeros(len(images))

def killed(batch_size, images, labels):
    import os
    os._exit(3)

CONTENDERS = {f.__name__: f for f in (nearest, cheat, absent, broken, killed)}
REFERENCE = "nearest"
BARS = {("nearest", "cheat"): {32: 0.5}, ("cheat", "nearest"): {32: 1e-9, 64: 2}}
'''


@pytest.fixture(scope="module")
def raced(tmp_path_factory):
    """One real race on the embedded digits, with contenders that go wrong in every way."""
    folder = tmp_path_factory.mktemp("raced")
    (folder / "mine.py").write_text(CONTENDERS)
    done = benchmark(
        "--dataset", "digits", "--with", "mine.py", "--rounds", "2", "--name", "run",
        "--batch-sizes", "32", "--only", "nearest,cheat,absent,broken,killed,lockstep numpy",
        cwd=folder,
    )  # fmt: skip
    return done, folder / "runs" / "run"


def test_a_race_keeps_every_measurement(raced):
    done, folder = raced
    kept = record.load(folder / "bench.json")
    assert [row["contender"] for row in kept["rows"]] == ["lockstep numpy", "nearest", "cheat"]
    for row in kept["rows"]:
        counted = [turn for turn in row["turns"] if turn["counts"]]
        assert [turn["round"] for turn in counted] == [1, 2]
        assert all(turn["seconds"] > 0 and turn["cpu"] >= 0 for turn in row["turns"])
        assert row["versions"]["numpy"] == np.__version__
    assert kept["environment"]["cores"] == os.cpu_count()
    assert (folder / "figures" / "race.png").is_file() and (folder / "figures" / "race.svg").stat()
    assert (folder / "bench.md").read_text() in done.stdout


def test_who_is_absent_or_fails_is_named_and_the_others_race_on(raced):
    done, folder = raced
    kept = record.load(folder / "bench.json")
    assert done.returncode == 1  # somebody failed
    assert list(kept["absent"]) == ["absent"] and set(kept["failures"]) == {"broken", "killed"}
    assert kept["failures"]["broken"] == "ValueError: the second round is too much"
    assert "exit code 3" in kept["failures"]["killed"]
    assert "absent is absent: nothing_of_that_name is not installed" in done.stderr
    assert "**Absent:** absent" in done.stdout and "Traceback" not in done.stderr


def test_who_computes_something_else_is_shown_and_reaches_no_bar(raced, digits):
    done, folder = raced
    kept = record.load(folder / "bench.json")
    accuracy = {row["contender"]: row["accuracy"] for row in kept["rows"]}
    assert accuracy["cheat"] == pytest.approx(np.mean(digits.test.labels == 0))
    assert accuracy["lockstep numpy"] > 0.85
    assert {row["contender"] for row in kept["rows"] if row["unequal"]} >= {"cheat"}
    assert "NOT EQUAL" in done.stdout
    bars = {(bar["ours"], bar["batch_size"]): bar["reached"] for bar in kept["bars"]}
    assert bars[("cheat", 32)] is False and ("cheat", 64) not in bars


def turn(seconds, counts=True, noisy=False):
    return {"seconds": seconds, "counts": counts, "noisy": noisy, "cpu": 0, "others": 0, "round": 1}


def test_ratios_are_taken_round_by_round():
    """Hand-computed: 4/1, 6/3 and 12/4 are 4, 2 and 3; the medians' ratio would be 2."""
    theirs = {"contender": "b", "batch_size": 32, "accuracy": 0.975}
    theirs["turns"] = [turn(4), turn(99, counts=False, noisy=True), turn(6, noisy=True), turn(12)]
    ours = {"contender": "a", "batch_size": 32, "accuracy": 0.970}
    ours["turns"] = [turn(1), turn(3), turn(4)]
    (bar,) = summarise([ours, theirs], "b", [("a", "b", {"32": 3.0})], 10_000)
    assert bar["ratio"] == {"median": 3, "low": 2, "high": 4} and bar["reached"]
    assert (ours["median"], ours["low"], ours["high"]) == (3, 1, 4)
    assert (theirs["repeated"], theirs["noisy"], theirs["unequal"]) == (1, 1, False)
    ours["accuracy"] = 0.96
    (bar,) = summarise([ours, theirs], "b", [("a", "b", {32: 3.0})], 10_000)
    assert ours["unequal"] and not bar["reached"]
    summarise([ours, theirs], "b", [], 360)  # three standard errors are 3.5 points
    assert not ours["unequal"]


@pytest.mark.parametrize("noise", [{"others": 0.3}, {"waited": 0.3}, {"pace": 1.3}])
def test_a_disturbed_round_is_made_again_and_the_quietest_counts(monkeypatch, noise):
    quiet = {"seconds": 1.0, "cpu": 1.0, "others": 0.01, "waited": 0.01, "pace": 1.02}
    noise, louder = quiet | noise, quiet | {key: 2 * value for key, value in noise.items()}
    contender = turns.Contender(None)  # no process: its turns are planted

    def measure(*planted):
        following = iter(planted)
        monkeypatch.setattr(contender, "turn", lambda seed: next(following), raising=False)
        return [(t["noisy"], t["counts"]) for t in contender.measure(1)]

    assert measure(quiet) == [(False, True)]
    assert measure(noise, quiet, quiet) == [(True, False), (False, True)]
    never = measure(louder, louder, noise, louder, quiet)
    assert never == [(True, False), (True, False), (True, True), (True, False)]


def test_a_contender_has_its_cores_before_numpy_counts_them():
    """OpenBLAS starts a thread for each core when it is imported, and keeps it wherever it goes."""
    code = "import sys, benchmarks.serve; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_waiting_for_its_own_threads_is_no_noise(monkeypatch):
    """The first turn may be either; from the second on it is known."""
    contender = turns.Contender(None)
    alike = {"seconds": 1.0, "cpu": 2.0, "others": 0.0, "waited": 0.5, "pace": 1.0}
    monkeypatch.setattr(contender, "turn", lambda seed: alike, raising=False)
    assert [t["noisy"] for t in contender.measure(1)] == [True, False]
    assert [t["noisy"] for t in contender.measure(2)] == [False]


def test_a_slow_machine_is_waited_for_while_there_is_patience(monkeypatch):
    """The best of three looks counts: 2 s, 1.9 s, then 1.1 s of work that has taken 1 s."""
    slow, slept = pace.Pace(), []
    monkeypatch.setattr(pace.time, "sleep", slept.append)
    work = iter([1.0] * 300 + [2.0, 3.0, 2.0] + [1.9] * 3 + [1.1, 2.0, 2.0])
    monkeypatch.setattr(slow, "_work", lambda: next(work))
    assert slow() == 1
    assert slow.settle() == 1.1
    assert slept.count(pace.PAUSE) == 2 and next(work, None) is None
    monkeypatch.setattr(slow, "_work", lambda: 2.0)
    assert slow.settle() == 2 and slow.patience <= 0
    assert pace.PATIENCE <= sum(slept) < pace.PATIENCE + 1


@pytest.mark.skipif(load.waited_seconds() is None, reason="this system counts no waiting")
def test_waiting_for_a_core_is_seen():
    """Two processes on one core: each waits about as long as the other computes."""
    code = (
        "import os, time; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from benchmarks.load import waited_seconds\n"
        "print(flush=True); input(); before, end = waited_seconds(), time.perf_counter() + 0.4\n"
        "while time.perf_counter() < end: pass\n"
        "print(waited_seconds() - before)"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    pair = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) for _ in range(2)]
    for process in pair:
        process.stdout.readline()
    for process in pair:
        process.stdin.write("\n")
        process.stdin.flush()
    waited = [float(process.communicate(timeout=20)[0]) for process in pair]
    assert max(waited) > 0.05


STUCK = """
import os, time
from pathlib import Path
def stuck(batch_size, images, labels):
    def epoch(seed):
        Path(f"pid-{os.getpid()}").touch()
        time.sleep(seed and SECONDS)
    return epoch, None
CONTENDERS = {"stuck": stuck, "stuck too": stuck}
"""


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signal to another process")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_whoever_ends_a_race_leaves_no_process_behind(tmp_path, sent, code):
    """Ctrl-C ends the contenders; killed outright, they end when nobody asks any more."""
    seconds = 60 if sent == signal.SIGINT else 1
    (tmp_path / "mine.py").write_text(STUCK.replace("SECONDS", str(seconds)))
    race = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "--dataset", "digits", "--with", "mine.py",
         "--only", "stuck", "--rounds", "99"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL, encoding="utf-8",
    )  # fmt: skip
    for line in race.stderr:
        if "round 1" in line:
            break
    race.send_signal(sent)
    race.communicate(timeout=20)
    assert race.returncode == code
    pids = [int(path.name.split("-")[1]) for path in tmp_path.glob("pid-*")]
    assert len(pids) == 2
    end = time.monotonic() + 20
    while time.monotonic() < end and not all(map(gone, pids)):
        time.sleep(0.1)
    assert all(map(gone, pids))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rounds", "0"], "at least 1"),
        (["--batch-sizes", "32,many"], "not whole numbers"),
        (["--batch-sizes", "-1"], "at least 1"),
        (["--to", "96"], "Known: 97, 98"),
        (["--to", "97", "--seeds", "0"], "at least 1"),
        (["--to", "97", "--rounds", "3"], "says nothing"),
        (["--growth", "--to", "97"], "two measurements"),
        (["--growth", "--only", "numbo"], "did you mean 'numba'"),
        (["--only", "nobody"], "No contender's name holds 'nobody'"),
        (["--with", "nowhere.py"], "There is no Python file nowhere.py"),
        (["--with", "empty.py"], "no CONTENDERS"),
        (["--with", "wrong.py"], "SyntaxError"),
        (["--with", "leaves.py"], "exit code 0"),
        (["--with", "bars.py"], "BARS that are no"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(tmp_path, arguments, words):
    (tmp_path / "empty.py").touch()
    (tmp_path / "wrong.py").write_text("this is no Python")
    (tmp_path / "leaves.py").write_text("raise SystemExit(0)")
    (tmp_path / "bars.py").write_text('CONTENDERS = {"a": print}\nBARS = {("a", "a"): 2.0}\n')
    done = benchmark("--dataset", "digits", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr, done.stderr
    assert done.stderr.startswith("lockstep: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_the_floor_of_products_is_every_product_of_a_step(monkeypatch):
    seen = []
    multiply = np.matmul
    monkeypatch.setattr(
        np, "matmul", lambda a, b, out: seen.append((a.shape, b.shape)) or multiply(a, b, out=out)
    )
    floors.products((6, 4, 3), batch_size=2)(1)
    forward = [((2, 6), (6, 4)), ((2, 4), (4, 3))]
    assert seen == [*forward, ((4, 2), (2, 3)), ((2, 3), (3, 4)), ((6, 2), (2, 4))]


def test_wide_networks_beside_the_floor_by_hand():
    """(1 + 3) µs of floor beside 5 µs, and (2 + 3) beside 6, are 1.25 and 1.2 times; 2 rounds."""
    rows = []
    for name, seconds in ((growth.PRODUCTS, (1, 2)), (growth.TRAFFIC, (3, 3)), ("numpy", (5, 6))):
        turned = [turn(s * 1e-6 * 10) for s in seconds]
        place = {"axis": "wide, batch 32", "at": 1024, "images": 10}
        rows.append({"contender": name, "turns": turned, **place})
    (found,) = growth.beside_the_floor(rows)
    assert found["ratio"] == pytest.approx({"median": 1.225, "low": 1.2, "high": 1.25})
    assert found["floor"] == pytest.approx(4.5) and found["reached"]


def test_growth_measures_each_place_once(monkeypatch, tmp_path, digits):
    installed("numba")
    axes = {
        "hidden units": {n: {"hidden": (n,)} for n in (128, 160)},
        "training images": {256: {"images": 256}},
        "cores": {2: {"cores": 2}},
    }
    monkeypatch.setattr(growth, "AXES", axes)
    monkeypatch.setattr(growth, "WIDE", (160,))
    monkeypatch.setattr(growth, "ROUNDS", 1)
    monkeypatch.setattr(turns, "TRIES", 1)
    monkeypatch.setattr(growth, "WIDE_BATCHES", (128,))
    assert len(growth.places(["numpy"])) == 3  # 160 units are on an axis, and wide
    told = []
    found = growth.measure(["numpy"], {"name": "digits", "folder": None}, told.append)
    assert sum(event["done"] for event in told) == 3 and found["failures"] == {}
    rows = {(row["axis"], row["at"], row["contender"]): row for row in found["rows"]}
    assert len(rows) == len(found["rows"]) == 3 * 5
    assert rows["training images", 256, "numpy"]["images"] == 256
    found |= {
        "axes": {axis: list(at) for axis, at in axes.items()},
        "wide": growth.beside_the_floor(found["rows"]),
    }
    kept = record.begin("growth", "g", "x", digits) | {"settings": {"rounds": 3}} | found
    folder = record.keep(kept, tmp_path)
    assert record.load(folder / "bench.json")["wide"][0]["contender"] == "numpy"
    assert (folder / "figures" / "growth.svg").is_file()


def test_time_to_an_accuracy_is_every_seeds(tmp_path):
    done = benchmark(
        "--to", "97", "--dataset", "digits", "--only", "numpy", "--seeds", "2",
        "--name", "t", "--quiet", cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    kept = record.load(tmp_path / "runs" / "t" / "bench.json")
    (row,) = kept["rows"]
    assert [run["seed"] for run in row["runs"]] == [target.FIRST_SEED, target.FIRST_SEED + 1]
    for run in row["runs"]:
        assert run["whole_seconds"] > run["train_seconds"] + run["startup_seconds"] > 0
    assert kept["bar"] == {"backend": "numba", "seconds": 0.2, "reached": False}  # it was not there
    (table,) = tables.tables(kept)
    assert table.rows[0][2] == "0 of 2"


def test_a_bar_is_reached_by_every_seed_or_not_at_all():
    run = {"test_accuracy": 0.9701, "train_seconds": 0.19}
    rows = [{"backend": "numba", "runs": [run, run]}]
    assert target.bar("97", rows)["reached"]
    for worse in ({"test_accuracy": 0.9699}, {"train_seconds": 0.21}):
        assert not target.bar("97", [{"backend": "numba", "runs": [run, run | worse]}])["reached"]


def test_a_file_of_another_schema_is_refused(tmp_path):
    (tmp_path / "bench.json").write_text(json.dumps({"schema": 99, "kind": "race"}))
    with pytest.raises(LockstepError, match="schema 1"):
        record.load(tmp_path / "bench.json")


def benchmark(*arguments, cwd):
    return lockstep(*arguments, cwd=cwd, module="benchmarks", PYTHONPATH=str(ROOT))


SLOW = {"PyTorch, steps compiled", "Keras, fit at its fastest", "Keras, fit"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name in contenders.CONTENDERS
    ],
)
def test_a_competitor_learns_what_we_learn(name, digits):
    """Three epochs of the digits, beside the network by hand, which gets nine of ten."""
    try:
        epoch, predict = contenders.CONTENDERS[name](32, *digits.train)
    except ImportError as error:
        if "tinygrad" in name:
            pytest.skip("nobody needs tinygrad")
        absent(str(error))
    for seed in range(3):
        epoch(seed)
    assert np.mean(predict(digits.test.images) == digits.test.labels) > 0.88


def test_every_bar_is_about_contenders_that_there_are():
    found = choose(str(ROOT / "benchmarks" / "contenders.py"), None)[1]
    assert len(found["bars"]) == len(contenders.BARS) == 7


def test_the_page_shows_what_was_measured():
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("<!-- bench: ") == 4
    assert written(page) == page


def test_what_is_kept_in_git_is_small_and_has_a_line_for_each_row():
    kept = sorted(KEPT.glob("*.json"))
    assert sum(path.stat().st_size for path in kept) < 300_000
    for path in kept:
        measured = record.load(path)
        text = path.read_text(encoding="utf-8")
        assert text == compact(measured)
        assert len(text.splitlines()) == len(measured["rows"]) + len(measured) + 3


def test_compacting_keeps_six_digits_and_everything_else():
    measured = {"schema": 1, "rows": [{"name": "ä", "seconds": 0.12345678, "at": (1, 2)}]}
    assert json.loads(compact(measured)) == {
        "schema": 1, "rows": [{"name": "ä", "seconds": 0.123457, "at": [1, 2]}]
    }  # fmt: skip
