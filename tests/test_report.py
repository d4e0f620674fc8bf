"""Figures and the page: complete, well-formed, safe against what a name may contain."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from lockstep.report import figures, page, summary, text

EVIL = "<script>alert(1)</script>\"'&"


def backend(seed=0, difference=None, accuracy=0.97):
    history = [
        {
            "epoch": epoch,
            "train_loss": 0.3 / epoch,
            "train_accuracy": 0.95,
            "test_loss": 0.4 / epoch,
            "test_accuracy": accuracy,
            "running_loss": 0.5 / epoch,
            "running_accuracy": 0.9,
            "seconds": 1.5,
        }
        for epoch in (1, 2, 3)
    ]
    result = {
        "version": "NumPy 2",
        "device": "cpu",
        "dialect": "torch",
        "seed": seed,
        "history": history,
        "train_accuracy": 0.95,
        "test_accuracy": accuracy,
        "confusion_matrix": (np.eye(10, dtype=int) * 90 + 1).tolist(),
        "train_seconds": 4.5 + seed,
        "import_seconds": 0.08,
        "compile_seconds": 0.02,
        "startup_seconds": 0.1,
        "peak_rss_bytes": 300 << 20,
        "initial_weights_sha256": "a" * 64,
        "batch_order_sha256": "b" * 64,
    }
    return result if difference is None else {**result, "weights_difference": difference}


@pytest.fixture
def results():
    repeated = backend(difference=2e-6, accuracy=0.96)
    repeated["repeats"] = [repeated.copy(), backend(seed=1, accuracy=0.98)]
    return {
        "schema": 1,
        "name": EVIL,
        "created": "2026-01-01T00:00:00",
        "command": f"lockstep compare --name {EVIL}",
        "dataset": {
            "name": "x",
            "title": EVIL,
            "classes": [*"012345678", EVIL],
            "train": 60000,
            "test": 10000,
            "sha256": {},
        },
        "recipe": {"hidden": [128]},
        "environment": {"python": EVIL},
        "backends": {"numpy": backend(), "torch": repeated},
        "failures": {EVIL: EVIL},
    }


class Outline(HTMLParser):
    """The tags, attributes and words of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_asks_nothing_of_the_network_and_runs_no_foreign_markup(results, tmp_path):
    outline = Outline(page.write(results, tmp_path).read_text(encoding="utf-8"))
    assert "script" not in outline.tags
    policies = [value for name, value in outline.attributes if name == "content"]
    assert any(policy.startswith("default-src 'none'") for policy in policies)
    links = [value for name, value in outline.attributes if name in ("src", "href", "xlink:href")]
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not any(name.startswith("on") for name, _ in outline.attributes)
    words = "".join(outline.words)
    assert EVIL in words and "97.00 ± 1.41 %" in words and "2.0e-06" in words


def test_every_figure_is_on_the_page_and_on_disk_as_png_and_svg(results, tmp_path):
    page.write(results, tmp_path)
    names = ["loss", "accuracy", "time-and-memory", "confusion-numpy", "confusion-torch"]
    expected = {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == expected
    for name in names:
        png = (tmp_path / "figures" / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG") and len(png) > 5000
        ElementTree.parse(tmp_path / "figures" / f"{name}.svg")
    assert (tmp_path / "report.html").read_text(encoding="utf-8").count("<svg") == len(names)


def test_the_curves_show_the_numbers_they_are_given():
    ours, theirs = backend()["history"], backend(accuracy=0.96)["history"]
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
    assert isinstance(figures.loss_against_epoch({"a": backend()["history"]}, "x"), Figure)
    assert dict(matplotlib.rcParams) == before


def test_the_same_figure_is_the_same_file(results, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        page.write(results, tmp_path / name)
    for file in ("report.html", "figures/loss.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_mean_and_deviation_by_hand(results):
    torch = results["backends"]["torch"]
    assert summary.percent(torch, "test_accuracy") == "97.00 ± 1.41 %"  # 96 and 98: √2
    assert summary.percent(results["backends"]["numpy"], "test_accuracy") == "97.00 %"
    assert summary.largest_difference(results) == 2e-6


def test_the_terminals_table_survives_markup(results, capsys):
    results["failures"] = {"torch": "[red]died[/nonsense]"}
    text.print_comparison(results)
    assert "[red]died[/nonsense]" in capsys.readouterr().out
