"""The report: a self-contained HTML file that works offline.

`template.html` says what stands where, `page.css` how it looks, `page.js` what a click does.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
from markupsafe import Markup

from ...backends.registry import REFERENCE
from ...runs.files import write_whole
from ...runs.records import Results, trainings
from ...runs.typed import plain
from .. import figures, sentences
from ..contents import Exhibit, exhibits, galleries
from ..listings import Approach, approach
from ..load import Run
from ..tables import Table

HERE = Path(__file__).parent
SIDE, COLUMNS = 28, 30
"""A digit's side in pixels, and how many stand beside one another in the page's one picture."""
OF_EXHIBITS = ("loss", "disagreements", "worst", "first-layer")
"""Exhibits whose tables nothing else makes."""


def write(evidence: Run, folder: Path) -> Path:
    """Write report.html, figures/ and tables/ into a folder; returns the page's path."""
    drawn = list(exhibits(evidence))
    for exhibit in drawn:
        figures.save(exhibit.figure, folder / "figures" / exhibit.name)
    found = tables(evidence, drawn)
    for table in found:
        write_whole(folder / "tables" / f"{table.name}.csv", table.csv())
    path = folder / "report.html"
    write_whole(path, page(evidence, drawn, found))
    return path


def tables(evidence: Run, drawn: list[Exhibit]) -> list[Table]:
    """Every table of the report, each once."""
    run = evidence.results
    found = [
        sentences.overview(run),
        sentences.every_run(run),
        sentences.histories(run),
        sentences.pairs(run),
        sentences.parity(evidence.proofs),
        sentences.confusion(run),
        sentences.by_class(run),
        sentences.code(_approaches(evidence)),
        *(e.table for e in drawn if e.table and e.name in OF_EXHIBITS),
    ]
    return list({table.name: table for table in found if table.rows}.values())


def _approaches(evidence: Run) -> list[Approach]:
    """Every backend's code once; and the way of its tutorials, if that was trained in any run."""
    found: dict[str, bool] = {}
    for label, result in evidence.results.backends.items():
        name = evidence.backend_of(label)
        found[name] = found.get(name, False) or result.as_tutorial is not None
    recipe = evidence.results.recipe
    return [approach(name, recipe, as_tutorial) for name, as_tutorial in found.items()]


def page(evidence: Run, drawn: list[Exhibit], found: list[Table]) -> str:
    """The whole page as HTML; every text that comes from outside is escaped by the template."""
    run = evidence.results
    script = (HERE / "page.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    matrices = {n: np.array(r.confusion_matrix) for n, r in run.backends.items()}
    first = next(iter(matrices.values()))
    by_name = {exhibit.name: exhibit for exhibit in drawn}
    return environment.get_template("template.html").render(
        evidence=evidence,
        run=run,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=_hash(script),
        figures={name: _inline(exhibit) for name, exhibit in by_name.items() if _inlined(name)},
        exhibits=by_name,
        parity=[name for name in by_name if name.startswith("parity-")],
        tables=found,
        csv_link=_csv_link,
        sentences=sentences,
        largest=sentences.largest_difference(evidence.proofs),
        others=any(evidence.backend_of(label) != REFERENCE for label in run.backends),
        noise=sentences.noise_sentence(run),
        trainings=trainings,
        matrices=matrices,
        differences={n: m - first for n, m in list(matrices.items())[1:]},
        all_alike=all((m == first).all() for m in matrices.values()),
        classes=run.dataset.classes,
        sprite=_sprite(evidence.predictions.images),
        columns=COLUMNS,
        place={int(index): i for i, index in enumerate(evidence.predictions.shown)},
        galleries=galleries(evidence),
        digits=Markup(_script_json(_digits(evidence))),
        approaches=_approaches(evidence),
        provenance=_provenance(evidence),
    )


def _inlined(name: str) -> bool:
    """Matrices and galleries stand on the page as tables and buttons, which can be asked."""
    return not name.startswith(("confusion", "disagreements", "worst"))


def _inline(exhibit: Exhibit) -> Markup:
    return Markup(figures.inline_svg(exhibit.figure, exhibit.name, exhibit.title, exhibit.caption))


def _hash(script: str) -> str:
    """What the Content-Security-Policy calls the one script that may run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _sprite(images: np.ndarray) -> str:
    """All digits that are shown in one PNG, dark ink on white, as a data link."""
    from PIL import Image

    rows = max(1, -(-len(images) // COLUMNS))
    tiles = np.zeros((rows * COLUMNS, SIDE, SIDE), np.uint8)
    tiles[: len(images)] = images.reshape(-1, SIDE, SIDE)
    sheet = tiles.reshape(rows, COLUMNS, SIDE, SIDE).swapaxes(1, 2)
    buffer = io.BytesIO()
    picture = Image.fromarray(255 - sheet.reshape(rows * SIDE, COLUMNS * SIDE))
    picture.save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _digits(evidence: Run) -> dict[str, Any]:
    """What the script needs to show the digits of a cell: who answers what, and how surely."""
    seen = evidence.predictions
    names = list(seen.logits)
    per_mille = [np.rint(1000 * seen.probabilities(name, seen.shown)) for name in names]
    answers = [seen.classes(name)[seen.shown] for name in names]
    return {
        "backends": names,
        "classes": evidence.results.dataset.classes,
        "digits": [
            {
                "index": int(index),
                "true": int(seen.labels[index]),
                "answers": [int(answer[i]) for answer in answers],
                "perMille": [[int(value) for value in p[i]] for p in per_mille],
            }
            for i, index in enumerate(seen.shown)
        ],
    }


def _script_json(content: object) -> str:
    """JSON that no text in it can turn into markup."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _csv_link(table: Table) -> str:
    return f"data:text/csv;charset=utf-8,{quote(table.csv())}"


def _provenance(evidence: Run) -> str:
    """Everything that decides the numbers, run by run, as readable JSON."""
    runs = [_origin(run) for run in evidence.runs]
    return json.dumps(runs[0] if len(runs) == 1 else runs, indent=2, ensure_ascii=False)


def _origin(run: Results) -> dict[str, Any]:
    keys = ("version", "device", "dialect", "initial_weights_sha256", "batch_order_sha256", "notes")
    values, backends = plain(run), {}
    for name, result in trainings(run.backends).items():
        told = {key: value for key in keys if (value := getattr(result, key)) is not None}
        backends[name] = told | {"seeds": [seed.seed for seed in result.runs]}
    parts = ("name", "created", "command", "dataset", "recipe", "environment")
    return {key: values[key] for key in parts} | {"backends": backends}
