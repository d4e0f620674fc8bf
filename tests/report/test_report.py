"""What a report says: its numbers by hand, its files, its answer to files that are not whole.

How the page looks and behaves is in test_page.py, in a browser.
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import finished_run
import numpy as np
import pytest
from matplotlib.figure import Figure
from msgspec.structs import replace

from lockstep import statistics
from lockstep.backends import registry
from lockstep.errors import LockstepError
from lockstep.recipe import Recipe
from lockstep.report import figures, listings, load, sentences, tables, terminal
from lockstep.report.html import page
from lockstep.report.markdown import markdown
from lockstep.runs import predictions
from lockstep.training import metrics

TWO = {"numpy": {}, "torch": {3: 0, 5: 1}}


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory):
    """A run of two backends and three seeds."""
    return finished_run.write(tmp_path_factory.mktemp("report") / "run", digits.test, TWO, seeds=3)


@pytest.fixture
def copy(digits, tmp_path):
    """The same, to be spoilt."""
    return finished_run.write(tmp_path / "copy", digits.test, TWO, name="copy")


# --- Files ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(folder):
    page.write(load.load([folder]), folder)
    return folder


def test_every_figure_is_on_disk_as_png_and_svg(written):
    files = {path.name for path in (written / "figures").iterdir()}
    names = {name.rsplit(".", 1)[0] for name in files}
    assert files == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    assert names == {
        "loss", "accuracy", "accuracy-by-seed", "time-and-memory", "first-layer",
        "confusion-numpy", "confusion-torch", "confusion-differences", "disagreements",
        "parity-torch-float32-synced", "parity-torch-float64-free",
    }  # fmt: skip
    for name in names:
        png = (written / "figures" / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG") and len(png) > 5000
        ElementTree.parse(written / "figures" / f"{name}.svg")


def test_every_table_is_on_disk_and_on_the_page_with_the_same_numbers(written):
    html = (written / "report.html").read_text(encoding="utf-8")
    for path in (written / "tables").iterdir():
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        assert len(rows) > 1 and len({len(row) for row in rows}) == 1
        assert f'download="{path.name}"' in html
    history = list(csv.DictReader((written / "tables" / "history.csv").open(encoding="utf-8")))
    assert len(history) == 2 * 3 * 3  # backends, seeds, epochs
    assert {row["train loss"] for row in history if row["epoch"] == "3"} == {str(0.3 / 3)}


def test_the_page_is_a_few_hundred_kilobytes(written):
    assert (written / "report.html").stat().st_size < 700_000


def test_the_same_run_is_the_same_page(written, digits, tmp_path):
    again = finished_run.write(tmp_path / "again", digits.test, TWO, seeds=3)
    page.write(load.load([again]), again)
    for file in ("report.html", "figures/loss.png", "figures/loss.svg", "tables/runs.csv"):
        assert (written / file).read_bytes() == (again / file).read_bytes()


def test_a_report_imports_no_framework(copy):
    code = f"""
import sys
from lockstep.cli.main import main
assert main(["report", {str(copy)!r}]) == 0
print(sorted({{m.split(".")[0] for m in sys.modules}} & {{"torch", "tensorflow", "keras", "jax"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"Report: {copy / 'report.html'}", "[]"]


# --- Files that are not whole ---------------------------------------------------------------------


def spoil_schema(run):
    values = json.loads((run / "results.json").read_text(encoding="utf-8")) | {"schema": 1}
    (run / "results.json").write_text(json.dumps(values), encoding="utf-8")


def spoil_type(run):
    values = json.loads((run / "results.json").read_text(encoding="utf-8"))
    values["backends"]["torch"]["test_accuracy"] = "x"
    (run / "results.json").write_text(json.dumps(values), encoding="utf-8")


def spoil_predictions(run):
    from safetensors.numpy import load_file, save_file

    tensors = load_file(run / "predictions.safetensors")
    del tensors["logits.torch"]
    save_file(tensors, run / "predictions.safetensors")


def cut(file):
    def spoil(run):
        content = (run / file).read_bytes()
        (run / file).write_bytes(content[: len(content) // 2])

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (cut("results.json"), "results.json is truncated or not JSON"),
        (cut("proof.json"), "proof.json is truncated or not JSON"),
        (cut("predictions.safetensors"), "predictions.safetensors is truncated"),
        (cut("weights/torch.safetensors"), "torch.safetensors is not a weights file"),
        (spoil_schema, "results.json is of schema 1; this version reads 4"),
        (spoil_predictions, "predictions.safetensors lacks logits.torch; make the run again"),
        (lambda run: (run / "results.json").unlink(), "Cannot read the results"),
        (spoil_type, "results.json is wrong: expected a number, got text; make the run again"),
        (lambda run: (run / "predictions.safetensors").unlink(), "Cannot read the predictions"),
        (lambda run: (run / "weights" / "torch.safetensors").unlink(), "Cannot read the weights"),
    ],
)
def test_a_file_that_is_not_whole_gets_one_sentence(copy, spoil, words):
    spoil(copy)
    with pytest.raises(LockstepError, match=re.escape(words)) as raised:
        load.load([copy])
    assert "\n" not in str(raised.value)


def test_a_results_file_without_backends_gets_one_sentence(copy):
    values = json.loads((copy / "results.json").read_text(encoding="utf-8"))
    for backends in ({}, {"torch": {}}, []):
        content = json.dumps(values | {"backends": backends})
        (copy / "results.json").write_text(content, encoding="utf-8")
        with pytest.raises(LockstepError, match="make the run again"):
            load.load([copy])


# --- Several runs as one --------------------------------------------------------------------------


def test_several_runs_are_one_comparison(folder, digits, tmp_path):
    other = finished_run.write(tmp_path / "other", digits.test, {"numpy": {7: 2}}, name="other")
    both = load.load([folder, other])
    labels = ["numpy · run", "torch · run", "numpy · other"]
    assert list(both.results.backends) == list(both.predictions.logits) == labels
    assert both.backend_of(labels[2]) == "numpy"
    shown = {int(index) for index in both.predictions.shown}
    assert {3, 5, 7} <= shown
    for index, image in zip(both.predictions.shown, both.predictions.images, strict=True):
        assert np.array_equal(image, digits.test.images[index])
    html = page.write(both, tmp_path / "both").read_text(encoding="utf-8")
    assert "numpy · other minus numpy · run" in html and "torch · run beside NumPy" in html


def test_what_every_run_kept_is_shown_side_by_side(digits, tmp_path):
    """A digit of the second run is not lost behind those of the first."""
    wrong = {i: (int(digits.test.labels[i]) + 1) % 10 for i in range(200)}
    one = finished_run.write(tmp_path / "a", digits.test, {"numpy": wrong}, "a")
    other = finished_run.write(tmp_path / "b", digits.test, {"numpy": {300: 1, 301: 2}}, "b")
    both = load.load([one, other])
    assert {300, 301} <= {int(index) for index in both.predictions.shown}


def test_names_that_look_alike_as_files_keep_their_figures(digits, tmp_path):
    folders = [
        finished_run.write(tmp_path / str(i), digits.test, {"numpy": {}, "torch": {}}, name)
        for i, name in enumerate(["日本", "中国"])
    ]
    drawn = list(page.exhibits(load.load(folders)))
    names = [exhibit.name for exhibit in drawn]
    assert len(names) == len(set(names))
    assert sum(name.startswith("confusion-numpy") for name in names) == 2
    assert sum(name.startswith("parity-torch") for name in names) == 4


def test_two_runs_of_one_name_are_told_apart(folder, digits, tmp_path):
    other = finished_run.write(tmp_path / "run", digits.test, {"numpy": {}}, name="run")
    names = list(load.load([folder, other]).results.backends)
    assert names == ["numpy · run (1)", "torch · run (1)", "numpy · run (2)"]


def test_runs_of_different_data_are_refused(folder, digits, tmp_path):
    other = finished_run.write(
        tmp_path / "other", digits.test, {"numpy": {}}, name="o", title="Fashion"
    )
    with pytest.raises(LockstepError, match="compares runs of the same test set"):
        load.load([folder, other])


# --- Numbers by hand ------------------------------------------------------------------------------


def results_with(accuracies):
    """Test accuracies in percent, by backend, seed after seed."""
    return finished_run.results(
        {
            name: finished_run.seeds_of(*({"test_accuracy": value / 100} for value in values))
            for name, values in accuracies.items()
        }
    )


def test_mean_and_deviation_by_hand():
    run = results_with({"torch": [96, 98], "numpy": [97]}).backends
    assert sentences.percent(run["torch"], "test_accuracy") == "97.00 ± 1.41 %"  # √2
    assert sentences.percent(run["numpy"], "test_accuracy") == "97.00 %"


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        (
            {"numpy": [97.0], "torch": [97.5]},
            "Significance unknown: at least two common seeds are needed (try --repeats 3).",
        ),
        (
            {"numpy": [97.0, 97.1, 97.2], "torch": [97.0, 97.1, 97.2]},
            "of numpy and torch are the same, in each of 3",
        ),
        (
            {"numpy": [97.0, 97.2, 97.4], "torch": [97.1, 97.1, 97.4]},
            "No statistically significant differ",
        ),
        # 1.1, 1.0, 0.9: 1.0 ± 4.30 · 0.1 / √3 = 0.25
        (
            {"numpy": [97.0, 97.1, 97.2], "torch": [98.1, 98.1, 98.1]},
            "Statistically significant, over 3 seeds: torch is +1.00 points from numpy (95 % int",
        ),
        ({"numpy": [97.0]}, ""),
        # a backend with a single seed is not passed over in silence
        (
            {"numpy": [97.0, 97.1], "torch": [97.0, 97.1], "jax": [10.0]},
            "of numpy and torch are the same, in each of 2 seeds. Significance of jax unknown",
        ),
    ],
)
def test_the_sentence_about_chance_by_hand(accuracies, words):
    said = sentences.noise_sentence(results_with(accuracies))
    assert words in said and bool(words) == bool(said)


def test_pairs_take_the_same_seed_of_both():
    run = results_with({"numpy": [97.0, 98.0, 99.0], "torch": [97.5, 98.5, 99.5]})
    (row,) = sentences.pairs(run).rows
    name, first, seeds, mean, half, _ = row
    assert (name, first, seeds) == ("torch", "numpy", 3)
    assert mean == pytest.approx(0.5) and half == pytest.approx(0, abs=1e-9)
    assert half < statistics.interval([97.5, 98.5, 99.5])  # which unpaired seeds would give


def test_the_largest_difference_is_that_of_the_float64_proof():
    proofs = [
        finished_run.proof(["torch"], "float32", "synced", planted=("torch", 3, 0, 1e-6)),
        finished_run.proof(["torch", "jax"], planted=("jax", 5, 2, 3e-15)),
    ]
    size, proof = sentences.largest_difference(proofs)
    assert size == 3e-15 and proof is proofs[1]
    rows = {(r[0], r[1], r[3]): r for r in sentences.parity(proofs).rows}
    assert rows["jax", "float64", "gradient dense1.bias"][4:] == (3e-15, 5, 1e-13, "yes")


def test_a_step_on_a_kink_is_not_counted_but_for_logits_and_loss():
    column = 4
    proof = finished_run.proof(["torch"], "float32", "synced", planted=("torch", 7, column, 1.0))
    assert proof.comparisons[0].undecided[6]
    assert sentences.parity([proof]).rows[column][-1] == "yes"
    told = finished_run.proof(["torch"], "float32", "synced", planted=("torch", 8, column, 1.0))
    assert sentences.parity([told]).rows[column][-4:] == (1.0, 8, 1e-6, "NO")


# --- Text for elsewhere ---------------------------------------------------------------------------


def test_markdown_has_the_table_and_no_foreign_markup(digits, tmp_path):
    evil = "a | b <script> `x` [y](z)"
    run = finished_run.write(tmp_path / "run", digits.test, TWO, name=evil, title=evil, seeds=2)
    words = markdown(load.load([run]))
    assert "<script>" not in words.replace("\\<", "") and "`x`" not in words.replace("\\`", "")
    pipes = [line for line in words.splitlines() if line.startswith("| ")]
    assert len(pipes) == 2 + 2 and len({re.sub(r"\\\|", "", p).count("|") for p in pipes}) == 1
    assert "The same: over 30 steps in float64" in words


def test_a_spreadsheet_runs_nothing():
    found = tables.Table("t", "t", [tables.Column("a"), tables.Column("b")], [("=1+1", -2.5)])
    assert list(csv.reader(io.StringIO(found.csv()))) == [["a", "b"], ["'=1+1", "-2.5"]]


def test_the_terminals_table_survives_markup(folder, capsys):
    run = load.load([folder]).results
    run.failures["torch"] = "[red]died[/nonsense]"
    terminal.print_comparison(run)
    assert "[red]died[/nonsense]" in capsys.readouterr().out


# --- What the tutorial costs -------------------------------------------------------------------


def as_tutorial_run(fast, slow):
    """(seconds, test accuracy in percent) of both ways, seed after seed."""

    def seeds(values, **more):
        figures = ({"train_seconds": t, "test_accuracy": a / 100, **more} for t, a in values)
        return finished_run.seeds_of(*figures)

    slower = seeds(slow, tutorial="DataLoader")
    return finished_run.results({"torch": replace(seeds(fast), as_tutorial=slower)})


@pytest.mark.parametrize(
    ("fast", "slow", "words"),
    [
        ([(2, 97.0)], [(5, 97.0)], "2.5 times as long as the fast way here, and ends with the sa"),
        ([(2, 97.0)], [(5, 97.3)], "here, and its test accuracy ends +0.30 points from it."),
        # paired: 2, 3 and 10 times; unpaired means would say 45/9 = 5
        (
            [(1, 97.0), (2, 97.1), (6, 97.2)],
            [(10, 97.0), (4, 97.1), (18, 97.2)],
            "3.0 times as long as the fast way here (2.0 to 10.0 over 3 seeds), and ends with",
        ),
        # 0.2, 0.0, -0.1: mean 0.03, deviation 0.153, 4.30 · 0.153 / √3
        (
            [(1, 97.0), (1, 97.3), (1, 97.2)],
            [(1, 97.2), (1, 97.3), (1, 97.1)],
            "its test accuracy ends +0.03 points from it (95 % interval ± 0.38: not significant).",
        ),
    ],
)
def test_the_sentence_about_the_tutorial_by_hand(fast, slow, words):
    (said,) = sentences.tutorial_sentences(as_tutorial_run(fast, slow))
    assert said.startswith("torch with DataLoader trains ") and words in said


@pytest.fixture(scope="module")
def as_tutorial(digits, tmp_path_factory):
    """A run of two backends and two seeds, in which torch trained with a DataLoader as well."""
    folder = tmp_path_factory.mktemp("as_tutorial") / "run"
    return finished_run.write(folder, digits.test, TWO, seeds=2, tutorials={"torch": "DataLoader"})


SENTENCE = "torch with DataLoader trains 3.0 times as long as the fast way here"


def test_a_tutorial_stands_beside_the_fast_way_wherever_it_is_read(as_tutorial, capsys):
    found = load.load([as_tutorial])
    html = page.write(found, as_tutorial).read_text(encoding="utf-8")
    terminal.print_comparison(found.results)
    for words in (html, capsys.readouterr().out, markdown(found)):
        assert SENTENCE in words and "torch, DataLoader (cpu)" in words
    rows = list(csv.DictReader((as_tutorial / "tables" / "runs.csv").open(encoding="utf-8")))
    seconds = {(row["backend"], row["seed"]): float(row["training (s)"]) for row in rows}
    assert seconds["torch, DataLoader", "1"] == 3 * seconds["torch", "1"] == 3 * 5.5
    assert sum(SENTENCE in line for line in html.splitlines()) == 1
    assert "Hatched" in html and "an epoch, as tutorials train" in html
    assert list(found.results.backends) == list(found.predictions.logits) == ["numpy", "torch"]


def test_a_tutorials_bars_are_hatched_beneath_its_backends(as_tutorial):
    figure = figures.time_and_memory(load.load([as_tutorial]).results.backends, "x")
    for axes in figure.axes:
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert names == ["numpy", "torch", "with DataLoader"]
        hatched = {
            round(bar.get_y() + bar.get_height() / 2) for bar in axes.patches if bar.get_hatch()
        }
        assert hatched == {2}


def test_tutorials_of_several_runs_stay_with_their_backends(as_tutorial, folder):
    both = load.load([folder, as_tutorial])
    rows = [row[0] for row in sentences.overview(both.results).rows]
    assert rows[-2:] == ["torch · run (2) (cpu)", "torch · run (2), DataLoader (cpu)"]
    (approach,) = (a for a in page._approaches(both) if a.backend == "torch")
    assert approach.tutorial and approach.lines == listings.approach("torch", Recipe()).lines


# --- Control and abstraction ----------------------------------------------------------------------


def test_lines_of_code_by_hand():
    source = '''
def f(x):
    """Two lines
    of docstring."""
    # a comment

    y = (x +
         1)  # two lines of code
    return """not
a docstring"""
'''
    assert listings.lines_of_code(source) == 1 + 2 + 2


@pytest.mark.parametrize("name", registry.names())
def test_the_code_shown_is_in_the_file_that_it_names(name):
    shown = listings.approach(name, Recipe())
    assert shown.hides and shown.lines > 10
    for listing in shown.listings:
        files = [listings.PACKAGE.parent / file for file in listing.file.split(", ")]
        source = "\n".join(file.read_text(encoding="utf-8") for file in files)
        lines = [line.strip() for line in source.splitlines()]
        assert listing.names and all(line.strip() in lines for line in listing.code.splitlines())
    everything = "".join(listing.parts for listing in shown.listings)
    assert all(part in everything for part in listings.PARTS)


@pytest.mark.parametrize("name", [name for name in registry.names() if registry.tutorial(name)])
def test_the_tutorial_shown_is_what_trains(name):
    (listing,) = listings.approach(name, Recipe(), as_tutorial=True).tutorial
    assert (
        "TutorialNetwork.train_epoch" in listing.names
        and f"{registry.tutorial(name)}(" in listing.code
    )


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "rmsprop", "adamw"])
def test_the_optimizer_shown_is_the_recipes(optimizer):
    names = [
        n for x in listings.approach("numpy", Recipe(optimizer=optimizer)).listings for n in x.names
    ]
    expected = {"sgd": "Optimizer", "nesterov": "Momentum", "rmsprop": "RMSprop", "adamw": "Adam"}
    assert f"{expected[optimizer]}.move" in names


# --- The digits worth a look ----------------------------------------------------------------------


def test_the_digits_worth_a_look_by_hand():
    labels = np.array([0, 0, 1, 1])
    sure = finished_run.logits_of(labels, {1: 1}, sure=5.0)
    unsure = finished_run.logits_of(labels, {}, sure=1.0)
    found = predictions.worth_showing(labels, {"a": sure, "b": unsure}).tolist()
    assert found[0] == 1  # the one on which they disagree comes first
    assert sorted(found) == [0, 1, 2, 3]


def test_no_cell_keeps_more_digits_than_it_may():
    labels = np.zeros(100, np.int64)
    wrong = finished_run.logits_of(labels, dict.fromkeys(range(60), 3))
    wrong[:60] *= np.linspace(0.5, 2, 60, dtype=np.float32)[:, None]
    found = predictions.worth_showing(labels, {"a": wrong})
    mistaken = [i for i in found if i < 60]
    assert sorted(mistaken) == list(range(60 - predictions.PER_CELL, 60))  # those it is surest of


# --- Figures --------------------------------------------------------------------------------------


def history(accuracy):
    """Three epochs; only the test accuracy is chosen."""
    scores = metrics.Score(0.1, 0.9), metrics.Score(0.2, accuracy)
    return [metrics.history_entry(epoch, *scores) for epoch in (1, 2, 3)]


def test_the_curves_show_the_numbers_they_are_given():
    ours, theirs = history(0.97), history(0.96)
    curves, beneath = figures.accuracy_against_epoch({"a": ours, "b": theirs}, "MNIST").axes
    test = [line for line in curves.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in test] == ["a", "b"]
    assert test[0].get_xdata().tolist() == [1, 2, 3]
    assert test[0].get_ydata().tolist() == [97.0] * 3
    gaps = {line.get_label(): line.get_ydata() for line in beneath.lines}
    assert gaps["test"] == pytest.approx([1.0] * 3)  # 97 % and 96 %: a point apart
    assert (gaps["training"] < 1e-6).all()


def test_the_confusion_matrix_prints_every_count():
    matrix = np.arange(9).reshape(3, 3)
    figure = figures.confusion_matrix(matrix, ["a", "b", "c"], "numpy", "MNIST")
    shown = [t.get_text() for t in figure.axes[0].texts]
    assert shown == ["·", "1", "2", "3", "4", "5", "6", "7", "8"]
    assert "33.33%" in figure.get_suptitle()  # (0 + 4 + 8) / 36


def test_drawing_changes_no_global_setting():
    import matplotlib

    before = dict(matplotlib.rcParams)
    assert isinstance(figures.loss_against_epoch({"a": history(0.97)}, "x"), Figure)
    assert dict(matplotlib.rcParams) == before


def test_an_inline_figure_is_well_formed_and_takes_the_pages_colours():
    figure = figures.loss_against_epoch({"a": history(0.9), "b": history(0.8)}, "x & <y>")
    svg = figures.inline_svg(figure, "loss", "A <title> & more", 'a "description"')
    root = ElementTree.fromstring(svg)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) and all(name.startswith("loss-") for name in ids)
    links = [e.get("href") for e in root.iter() if e.get("href")]
    assert links and all(link.removeprefix("#") in ids for link in links)
    assert "var(--ink)" in svg and "font-family" not in svg
    colours = set(re.findall(r"#[0-9a-f]{6}", svg))
    assert not colours & set(figures.style.THEME), colours
    said = "".join(root.itertext())
    assert "A <title> & more" in said and "Loss on x & <y>" in said


def test_an_inline_figure_keeps_every_word_of_the_file():
    """Coordinates are rounded, ticks and names are not; and no name is a formula."""
    histories = {"numpy · lr0.00125": history(0.90125), "a$\\frac$ 0.98765": history(0.9025)}
    figure = figures.accuracy_against_epoch(histories, "x 1.23456")
    inline = figures.inline_svg(figure, "n", "t", "d")

    def words(svg):
        return [e.text for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("text")]

    found = words(inline)
    assert found == words(figures.style.svg(figure))
    assert "numpy · lr0.00125" in found and "a$\\frac$ 0.98765" in found


def test_one_epoch_is_a_point_for_each_set():
    one = {name: history(0.9)[:1] for name in ("a", "b")}
    curves, beneath = figures.loss_against_epoch(one, "x").axes
    assert all(line.get_marker() == "o" for line in curves.lines)
    assert all(line.get_marker() in "so" for line in beneath.lines)


def test_the_line_is_the_median_of_the_sums():
    """(1, 5), (2, 1), (9, 1): the medians of the parts are 2 and 1, that of the sums is 6."""
    seeds = (
        {
            "train_seconds": 1.0,
            "import_rss_bytes": 50 << 20,
            "peak_rss_bytes": 80 << 20,
            "import_seconds": a,
            "compile_seconds": b,
        }
        for a, b in ((1.0, 5.0), (2.0, 1.0), (9.0, 1.0))
    )
    figure = figures.time_and_memory({"a": finished_run.seeds_of(*seeds)}, "x")
    assert [text.get_text() for text in figure.axes[1].texts] == ["6"]
    assert [text.get_text() for text in figure.axes[2].texts] == ["80"]
    assert [bar.get_width() for bar in figure.axes[2].patches] == [50, 30]


def test_what_is_no_number_is_not_drawn_as_0():
    proof = finished_run.proof(["torch"], planted=("torch", 12, 3, np.nan))
    picture = figures.parity(proof.comparisons[0], "float64").axes[0].images[0]
    shown = picture.get_array()
    assert shown[3, 11] > picture.norm.vmax  # red, which the colour bar explains


def test_parity_marks_the_first_number_out_of_tolerance():
    proof = finished_run.proof(["torch"], planted=("torch", 12, 3, 1e-3))
    axes = figures.parity(proof.comparisons[0], "float64").axes[0]
    rings = [line for line in axes.lines if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in rings] == [(12, 3)]
    right = figures.parity(finished_run.proof(["torch"]).comparisons[0], "float64").axes[0]
    assert not right.lines
