"""The lessons of the repository's root as pages, with the outputs that are saved in them."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LESSONS = ("NN_from_scratch", "NN_PyTorch", "NN_tensorflow", "comparison")
FOLDER = "tutorials"


def bring_in(pages: str | Path) -> None:
    """Write each lesson's page into the site's source; git ignores them there."""
    for name in LESSONS:
        page = Path(pages) / FOLDER / f"{name}.ipynb"
        text = as_page((ROOT / f"{name}.ipynb").read_text(encoding="utf-8"))
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def as_page(notebook: str) -> str:
    """A notebook in which the name of another lesson is a link to it."""
    content = json.loads(notebook)
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = linked("".join(cell["source"]))
    return json.dumps(content, ensure_ascii=False)


def linked(text: str) -> str:
    """Markdown in which `NN_PyTorch.ipynb` leads there."""
    return re.sub(rf"`(({'|'.join(LESSONS)})\.ipynb)`", r"[`\1`](\2.ipynb)", text)
