"""The commands as a person types them, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import lockstep

from lockstep.backends import registry
from lockstep.cli.main import main
from lockstep.processes import parent
from lockstep.proof import prove
from lockstep.recipe import Recipe
from lockstep.runs import predictions, records
from lockstep.training import compare, loop, metrics

pytestmark = pytest.mark.costly

SMALL = ["--dataset", "digits", "--hidden", "16", "--epochs", "2"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """One real comparison of all backends, with two seeds."""
    folder = tmp_path_factory.mktemp("compared")
    done = lockstep(
        "compare", *SMALL, "--name", "run", "--repeats", "2", "--optimizer", "momentum",
        "--proof", "4", cwd=folder,
    )  # fmt: skip
    return done, folder / "runs" / "run"


def test_compare_prints_a_table_and_says_where_the_report_is(compared):
    done, folder = compared
    assert done.returncode == 0, done.stderr
    assert f"Report: {Path('runs/run/report.html')}" in done.stdout
    for name in registry.names():
        assert f"{name} (cpu)" in done.stdout
    assert "digits (1,797 small embedded images, not MNIST)" in done.stdout
    assert (folder / "report.html").is_file() and (folder / "figures" / "loss.svg").is_file()


def test_results_hold_what_the_schema_promises(compared):
    run = records.load(compared[1])
    assert run.dataset.name == "digits" and run.failures == {}
    for result in run.backends.values():
        assert [len(row) for row in result.confusion_matrix] == [10] * 10
        assert sum(map(sum, result.confusion_matrix)) == run.dataset.test
        assert result.train_seconds == pytest.approx(sum(e.seconds for e in result.history))
        assert result.startup_seconds >= result.import_seconds > 0
        right = sum(row[i] for i, row in enumerate(result.confusion_matrix))
        assert result.test_accuracy == pytest.approx(right / run.dataset.test)
        assert [repeat.seed for repeat in result.repeats] == [0, 1]


def test_all_started_alike_and_stayed_alike(compared):
    backends = records.load(compared[1]).backends
    for key in ("initial_weights_sha256", "batch_order_sha256"):
        assert len({getattr(result, key) for result in backends.values()}) == 1
        assert len({getattr(repeat, key) for repeat in backends["numpy"].repeats}) == 2
    for name in registry.names()[1:]:
        assert backends[name].weights_difference < 1e-5


def test_a_run_ends_with_a_proof_in_both_precisions(compared):
    proofs = json.loads((compared[1] / "proof.json").read_text(encoding="utf-8"))
    assert proofs["failed"] is None
    assert [proof["recipe"]["dtype"] for proof in proofs["proofs"]] == ["float32", "float64"]
    for proof in proofs["proofs"]:
        assert proof["same"] and proof["steps"] == 4
        assert {c["backend"] for c in proof["comparisons"]} == set(registry.names()) - {"numpy"}


def test_the_predictions_kept_are_those_of_the_confusion_matrix(compared, digits):
    run = records.load(compared[1])
    seen = predictions.load(compared[1] / "predictions.safetensors", list(run.backends))
    assert np.array_equal(seen.labels, digits.test.labels)
    for name, result in run.backends.items():
        matrix = metrics.confusion_matrix(seen.logits[name], seen.labels)
        assert matrix.tolist() == result.confusion_matrix


def test_a_report_is_built_again_by_name_as_page_and_as_markdown(compared):
    folder = compared[1]
    before = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    place = folder.parent.parent
    done = lockstep("report", "run", cwd=place)
    assert done.returncode == 0 and f"Report: {Path('runs/run/report.html')}" in done.stdout
    assert (folder / "report.html").read_bytes() == before
    words = lockstep("report", "runs/run", "--format", "md", cwd=place).stdout
    assert words.startswith("## digits") and "| numpy (cpu) |" in words


def test_several_runs_are_one_report(compared):
    place = compared[1].parent.parent
    done = lockstep("report", "run", "runs/run/results.json", "--name", "both", cwd=place)
    assert done.returncode == 0, done.stderr
    html = (place / "runs" / "both" / "report.html").read_text(encoding="utf-8")
    assert "torch · run (1)" in html and "torch · run (2)" in html
    assert (place / "runs" / "both" / "tables" / "pairs.csv").is_file()


def test_the_weights_are_kept(compared):
    from lockstep.runs.weights import load_weights

    for name in registry.names():
        weights, recipe = load_weights(compared[1] / "weights" / f"{name}.safetensors")
        assert weights["dense0.weight"].shape == (784, 16) and recipe.optimizer == "momentum"
    assert not (compared[1] / "first-epoch").exists()


def test_quiet_prints_nothing(tmp_path):
    done = lockstep("train", "numpy", *SMALL, "--quiet", "--out", str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_backend_that_fails_is_reported_and_the_others_go_on(tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "torch.py").write_text("raise ImportError('libtorch.so is missing')")
    done = lockstep(
        "compare", *SMALL, "--backends", "torch,numpy", "--name", "r", cwd=tmp_path,
        PYTHONPATH=str(broken),
    )  # fmt: skip
    assert done.returncode == 1
    assert "torch failed: ImportError: libtorch.so is missing" in done.stderr
    run = records.load(tmp_path / "runs" / "r")
    assert list(run.backends) == ["numpy"] and list(run.failures) == ["torch"]


def test_a_tutorial_is_trained_beside_the_fast_way(tmp_path):
    flags = ["--fit", "tutorial", "--tensorboard", "--name", "r"]
    done = lockstep("train", "torch", *SMALL, *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "torch with DataLoader trains" in done.stdout
    fast = records.load(tmp_path / "runs" / "r").backends["torch"]
    as_tutorial = fast.as_tutorial
    assert as_tutorial.tutorial == "DataLoader"
    assert as_tutorial.batch_order_sha256 == fast.batch_order_sha256
    assert max(result.weights_difference for result in (fast, as_tutorial)) < 1e-4
    kept = {path.name for path in (tmp_path / "runs" / "r" / "weights").iterdir()}
    assert kept == {"torch.safetensors"}


@pytest.mark.parametrize("failing", [None, 1])
def test_a_tutorial_of_several_seeds_is_kept_whole_or_not_at_all(
    failing, digits, tmp_path, monkeypatch
):
    """Trained in this process; what a failing seed leaves is the fast way, and the reason."""

    def send(module, job, tell):
        kind = registry.load(job["backend"], job["as_tutorial"])
        result = loop.work(
            {"import_seconds": 0.0, "import_rss_bytes": 0, **job}, kind, digits, tell
        )
        if job["as_tutorial"] and job["recipe"]["seed"] == failing:
            raise parent.ChildFailed("it broke")
        return result

    monkeypatch.setattr(parent, "send", send)
    recipe = Recipe(hidden=(8,), epochs=1)
    settings = {"repeats": 2, "tensorboard": True, "as_tutorial": True}
    found = compare.compare(recipe, ("numpy", "torch"), digits, tmp_path, "r", **settings)
    assert found.results == records.load(tmp_path / "r")
    torch = found.results.backends["torch"]
    assert [repeat.seed for repeat in torch.repeats] == [0, 1]
    board = {path.name for path in (tmp_path / "r" / "tensorboard").iterdir()}
    of_tutorial = {"torch-DataLoader", "torch-DataLoader-seed1"}
    if failing is None:
        assert [repeat.seed for repeat in torch.as_tutorial.repeats] == [0, 1]
        assert found.results.failures == {} and board > of_tutorial
    else:
        assert found.results.failures == {"torch, DataLoader": "it broke"}
        assert torch.as_tutorial is None and not found.well
        assert board == {"numpy", "numpy-seed1", "torch", "torch-seed1"}


FASTER = "network.rates = lambda self, n, r, rates=network.rates: 1.5 * rates(self, n, r)"


@pytest.mark.parametrize(
    ("planted", "words"),
    [
        (FASTER, "Not the same: torch"),
        ("1 / 0", "there is no proof: torch failed: ZeroDivisionError"),
        ("pass", ""),
    ],
)
def test_a_run_whose_proof_fails_is_kept_and_ends_with_1(tmp_path, planted, words):
    """The bug is planted in the proof's worker alone, by Python's own start-up file."""
    (tmp_path / "sitecustomize.py").write_text(
        f"""
import sys
if "lockstep.proof.child" in sys.orig_argv:
    from lockstep.proof import beside
    work = beside.work
    def spoilt(job, network, data, on_event):
        {planted}
        return work(job, network, data, on_event)
    beside.work = spoilt
"""
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = lockstep(
        "compare", *SMALL, "--backends", "numpy,torch", "--name", "r", "--proof", "3",
        cwd=tmp_path, PYTHONPATH=path,
    )  # fmt: skip
    assert done.returncode == (1 if words else 0), done.stderr
    assert words in done.stderr and bool(words) == bool(done.stderr)
    assert (tmp_path / "runs" / "r" / "report.html").is_file()


def test_what_comes_after_the_training_cannot_take_it_away(tmp_path, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(prove, "prove", interrupted)
    settings = ["--hidden", "8", "--epochs", "1", "--proof", "5", "--dataset", "digits"]
    command = ["compare", "--backends", "numpy,torch", *settings, "--out", str(tmp_path)]
    assert main([*command, "--name", "r"]) == 130
    assert records.load(tmp_path / "r").backends.keys() == {"numpy", "torch"}
    assert "The training is whole and kept; `lockstep report" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*scratch*")) and not list(tmp_path.rglob("*partial*"))


def test_the_template_is_right_and_a_missing_mean_is_told(tmp_path):
    """The whole way of a student: template, verdict, one wrong line, the diagnosis."""
    assert lockstep("verify", "--template", "my.py", cwd=tmp_path).returncode == 0
    check = ["verify", "my.py", "--dataset", "digits"]
    done = lockstep(*check, cwd=tmp_path)
    assert done.returncode == 0 and "The same: " in done.stdout, done.stderr
    path = tmp_path / "my.py"
    path.write_text(path.read_text("utf-8").replace("(np.exp(log_P) - Y) / N", "np.exp(log_P) - Y"))
    done = lockstep(*check, cwd=tmp_path)
    assert done.returncode == 1
    assert "First wrong: gradients of dense1.weight at step 1" in done.stdout
    assert "the mean over the batch, 1/N, is missing" in done.stdout
    assert json.loads(lockstep(*check, "--json", cwd=tmp_path).stdout)["same"] is False


def test_explain_ends_at_the_same_numbers_and_leaves_a_figure(tmp_path):
    flags = ["--steps", "6", "--seeds", "2", "--name", "e", "--dataset", "digits"]
    done = lockstep("explain", "numpy", "torch", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert (tmp_path / "runs" / "e" / "figures" / "explain.png").is_file()
    found = json.loads((tmp_path / "runs" / "e" / "explain.json").read_text("utf-8"))
    assert found["aligned"] and found["conclusion"] in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["comapre"], "did you mean 'compare'"),
        ([], "the following arguments are required: COMMAND"),
        (["compare", "--backends", "numpy,pytorhc"], "There is no backend 'pytorhc'"),
        (["train", "tensorflwo"], "did you mean 'tensorflow'"),
        (["train", "numpy", "--optimizer", "sdg"], "did you mean 'sgd'"),
        (["train", "numpy", "--epochs", "many"], "invalid int value: 'many'"),
        (["train", "numpy", "--epochs", "0"], "epochs is 0"),
        (["train", "numpy", "--dataset", "mnits"], "did you mean 'mnist'"),
        (["train", "numpy", "--device", "gpu"], "There is no device 'gpu'"),
        (["train", "numpy", "--repeats", "0"], "at least 1 run"),
        (["train", "torch", "--fit", "tutoril"], "did you mean 'tutorial'"),
        (
            ["train", "numpy", "--fit", "tutorial"],
            "numpy can train one way only; --fit tutorial is",
        ),
        (["compare", "--backends", "numpy,jax", "--fit", "tutorial"], "numpy and jax can train"),
        (["train", "numpy", "--recipe", "absent.toml"], "Cannot read the recipe absent.toml"),
        (["train", "numpy", "--data-dir", "absent"], "which is not a folder"),
        (["train", "numpy", "--dataset", "digits", "--name", "a/b"], "cannot be called 'a/b'"),
        (["verify", "--view", "sinced"], "did you mean 'synced'"),
        (["verify", "--steps", "0"], "it must be 1 to 100,000"),
        (["verify", "--backends", "numpy"], "Every backend is compared with NumPy; choose another"),
        (["verify", "--tolerance", "nan"], "it must be 0 or more, finite"),
        (["verify", "absent.py", "--dataset", "digits"], "There is no file absent.py"),
        (["train", "numpy", "--dataset", "digits", "--device", "cuda"], "it can on: cpu"),
        (["train", "numpy", "--seed", "9" * 400], "seed is 999"),
        (["train", "numpy", "--name", "x" * 300], "cannot be called"),
        (["train", "numpy", *SMALL, "--lr", "1e30", "--optimizer", "sgd"], "training diverged"),
        (["explain", "torch", "torhc"], "did you mean 'torch'"),
        (["explain", "numpy", "torch", "--optimizer", "sgd", "--dataset", "digits"], "use adam"),
        (["compare", "--proof", "-1"], "--proof is -1; it must be 0 to"),
        (["verify", "--recipe", "simard"], "`verify` takes the images and weights as they are"),
        (["explain", "--recipe", "simard"], "`explain` takes the images and weights as they are"),
        (["train", "torch", "--recipe", "simard", "--fit", "tutorial"], "averages no weights"),
        (["train", "numpy", "--dataset", "digits", "--validation", "0"], "--validation is 0"),
        (["report", "absent"], "There is no run 'absent'"),
        (["report", ".", "--format", "pdf"], "There is no format of a report 'pdf'"),
        (["report", "."], ". holds no results.json"),
        (["data", "--fetch", "minst"], "did you mean 'mnist'"),
        (["compare", "--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_code_2(arguments, words, tmp_path):
    done = lockstep(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr and done.stderr.startswith("lockstep: ")
    assert done.stderr.count("\n") == 1, "one line, no traceback"
    assert [path for path in tmp_path.rglob("*") if path.name != "runs"] == [], "nothing written"


def test_a_recipe_file_gives_the_settings_and_flags_win(tmp_path):
    (tmp_path / "r.toml").write_text('hidden = [8]\noptimizer = "sgd"\nepochs = 9\n')
    done = lockstep(
        "train", "numpy", "--recipe", "r.toml", "--epochs", "1", "--dataset", "digits",
        "--name", "r", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    recipe = records.load(tmp_path / "runs" / "r").recipe
    assert (recipe.hidden, recipe.optimizer, recipe.epochs) == ((8,), "sgd", 1)


def test_verify_exits_0_when_they_are_the_same_and_1_when_they_are_not():
    arguments = ["verify", "--dataset", "digits", "--hidden", "16", "--steps", "12"]
    same = lockstep(*arguments, "--backends", "torch,tensorflow")
    assert same.returncode == 0, same.stderr
    assert "The same: over 12 steps in float64" in same.stdout
    assert same.stdout.count("gradient dense0.weight") == 4  # two backends, two views
    other = lockstep(
        *arguments, "--backends", "tensorflow", "--view", "free", "--dialect", "torch", "--json"
    )
    assert other.returncode == 1, other.stderr
    found = json.loads(other.stdout)
    assert found["verdict"].startswith("Not the same: tensorflow (free) first differs at step 1")
    assert found["comparisons"][0]["first"]["tensor"] == "weight dense0.weight"
    assert len(found["comparisons"][0]["differences"]) == 12


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signal to another process")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_kill_leave_nothing_behind(tmp_path, sent, code):
    process = subprocess.Popen(
        [sys.executable, "-m", "lockstep", "train", "numpy", *SMALL, "--epochs", "100000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    for line in process.stdout:
        if "epoch" in line and "test loss" in line:
            break
    process.send_signal(sent)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == code
    said = "lockstep: interrupted; nothing unfinished was kept." if code == 130 else ""
    assert stderr.strip() == said
    assert list((tmp_path / "runs").iterdir()) == []


def test_data_shows_what_is_here(mnist):
    done = lockstep("data", "--data-dir", str(mnist.folder))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("hash holds") == 4 and done.stdout.count("not here") == 8


def test_help_is_quick_enough_to_be_used():
    """Not a speed limit: only that nothing of the order of a framework's import has crept in."""
    start = time.perf_counter()
    assert lockstep("--help").returncode == 0
    assert time.perf_counter() - start < 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGPIPE")
def test_a_reader_that_leaves_ends_the_training_quietly(tmp_path):
    """As `lockstep train … | head` does: exit code 128 + SIGPIPE, no word, nothing half."""
    command = ["train", "numpy", "--dataset", "digits", "--hidden", "8", "--epochs", "100000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lockstep", *command],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    assert "8" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == ""
    assert not list(tmp_path.glob("runs/*"))
