"""The report: one page that opens by double click and asks the network for nothing."""

from __future__ import annotations

import csv
import io
import json
from html import escape
from pathlib import Path
from urllib.parse import quote

from matplotlib.figure import Figure

from ..recipe import from_dict
from ..results import Results
from . import figures, summary

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --quiet: #595959; --paper: #fff; --line: #d9d9d9;
  --tile: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --quiet: #b5b5b5; --paper: #16181b; --line: #3a3d42; --tile: #22262b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
p { max-width: 44rem; } .quiet, figcaption { color: var(--quiet); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem;
  margin: 1.5rem 0; padding: 0; }
.tile { background: var(--tile); border-radius: .6rem; padding: 1rem; }
.tile h2 { margin: 0 0 .4rem; font-size: 1rem; font-weight: 600; }
.tile dl { display: grid; grid-template-columns: auto 1fr; gap: 0 1rem; margin: 0; }
.tile dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; font-weight: 600; }
.big { font-size: 2rem; font-weight: 700; margin: 0; }
figure { margin: 1rem 0; } figure svg { width: 100%; height: auto; background: #fff;
  border-radius: .4rem; }
.pair { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); }
.pair figure { max-width: 36rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td { white-space: nowrap; }
th, td { padding: .35rem .8rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
details { margin: 2.5rem 0; border-top: 1px solid var(--line); padding-top: 1rem; }
pre { overflow-x: auto; background: var(--tile); padding: .8rem; border-radius: .4rem; }
a { color: inherit; }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write(results: Results, folder: Path) -> Path:
    """Write report.html and the figures' files into a run's folder; returns the page's path."""
    drawn = draw(results)
    for name, (figure, _) in drawn.items():
        figures.save(figure, folder / "figures" / name)
    path = folder / "report.html"
    path.write_text(page(results, drawn), encoding="utf-8")
    return path


def draw(results: Results) -> dict[str, tuple[Figure, str]]:
    """Every figure of a run by file name, with the plain sentence that is its caption."""
    title, classes = results["dataset"]["title"], results["dataset"]["classes"]
    backends = results["backends"]
    histories = {name: result["history"] for name, result in backends.items()}
    many = len(backends) > 1
    drawn = {
        "loss": (
            figures.loss_against_epoch(histories, title),
            "Loss after each epoch, evaluated with the weights of that moment."
            + (" Where the curves cover one another, they learn the same." if many else ""),
        ),
        "accuracy": (
            figures.accuracy_against_epoch(histories, title),
            "Share of right answers after each epoch, evaluated with the weights of that moment.",
        ),
        "time-and-memory": (
            figures.time_and_memory(backends, title),
            "What each backend cost: training alone, start-up alone, and the largest memory of its "
            "process. A dot is a run, the bar their mean.",
        ),
    }
    for name, result in backends.items():
        matrix = result["confusion_matrix"]
        drawn[f"confusion-{name}"] = (
            figures.confusion_matrix(matrix, classes, name, title),
            f"{name}: rows are the true classes, columns the answers; mistakes are coloured.",
        )
    return drawn


def page(results: Results, drawn: dict[str, tuple[Figure, str]]) -> str:
    """The whole page as HTML; every text that came from outside is escaped."""
    data, recipe = results["dataset"], from_dict(results["recipe"])
    pictures = {name: _figure(name, *entry) for name, entry in drawn.items()}
    confusion = "".join(html for name, html in pictures.items() if name.startswith("confusion-"))
    failures = "".join(
        f"<p><strong>{escape(name)} failed:</strong> {escape(why)}</p>"
        for name, why in results["failures"].items()
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(results["name"])}: one network, every framework</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>One network, every framework: {escape(data["title"])}</h1>
<p class="quiet">{escape(recipe.summary())} · {data["train"]:,} training and {data["test"]:,} test
images · {escape(results["created"].replace("T", ", ")[:17])}{_seeds(results)}</p>
{failures}
{_tiles(results)}
<h2>What they learn</h2>
{pictures["loss"]}
{pictures["accuracy"]}
<h2>What it costs</h2>
{pictures["time-and-memory"]}
<h2>All of it as a table</h2>
{_table(results)}
<p class="quiet">{escape(summary.NOTE)}</p>
<h2>What they confuse</h2>
<div class="pair">{confusion}</div>
<details>
<summary>Versions, machine, seeds and the command that reproduces this</summary>
<pre>{escape(results["command"])}</pre>
<pre>{escape(_provenance(results))}</pre>
<p><a download="{escape(results["name"])}.csv" href="{_csv_link(results)}">The history of every
backend as CSV</a></p>
</details>
</main>
</body>
</html>
"""


def _seeds(results: Results) -> str:
    """What the figures show when there were several seeds."""
    count = max((len(r.get("repeats", [])) for r in results["backends"].values()), default=0)
    return f" · {count} seeds; curves and matrices show the first" if count else ""


def _figure(name: str, figure: Figure, caption: str) -> str:
    """An inline figure with its caption, which is also what a screen reader says."""
    picture = figures.inline_svg(figure, name, name, caption)
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def _tiles(results: Results) -> str:
    """Three answers at a glance: how well, how fast, how far apart."""
    accuracy, training = (
        "".join(
            f"<dt>{escape(name)}</dt><dd>{show(result, key)}</dd>"
            for name, result in results["backends"].items()
        )
        for show, key in ((summary.percent, "test_accuracy"), (summary.seconds, "train_seconds"))
    )
    largest = summary.largest_difference(results)
    if largest is None:
        apart, of_what = "–", "there is nothing beside NumPy in this run"
    else:
        apart, of_what = f"{largest:.1e}", "of any weight from NumPy's, after the first epoch"
    return f"""<div class="tiles">
<div class="tile"><h2>Test accuracy</h2><dl>{accuracy}</dl></div>
<div class="tile"><h2>Training time</h2><dl>{training}</dl></div>
<div class="tile"><h2>Largest difference</h2><p class="big">{apart}</p>
<p class="quiet">{of_what}</p></div>
</div>"""


def _table(results: Results) -> str:
    head = "".join(f"<th scope='col'>{escape(column)}</th>" for column in summary.COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in summary.rows(results)
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Figures of every backend">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _provenance(results: Results) -> str:
    """Everything that decides the numbers, as readable JSON."""
    hashes = {
        name: {key: r[key] for key in ("version", "initial_weights_sha256", "batch_order_sha256")}
        for name, r in results["backends"].items()
    }
    parts = {key: results[key] for key in ("dataset", "recipe", "environment")}
    return json.dumps({**parts, "backends": hashes}, indent=2, ensure_ascii=False)


def _csv_link(results: Results) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = list(next(iter(results["backends"].values()))["history"][0])
    writer.writerow(["backend", "seed", *columns])
    for name, result in results["backends"].items():
        for run in result.get("repeats", [result]):
            for entry in run["history"]:
                writer.writerow([name, run["seed"], *(entry[column] for column in columns)])
    return f"data:text/csv;charset=utf-8,{quote(buffer.getvalue())}"
