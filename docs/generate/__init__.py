"""The parts of the site that the code itself writes: pages, notebooks, formulas.

A page asks for one with a line `<!-- generated: NAME -->`, which the build replaces by what
`GENERATED[NAME]()` returns, in Markdown. So no flag, field or mistake is copied by hand.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import api, commands, datasets, files, mathml, mistakes, notebooks, proof, recipe

if TYPE_CHECKING:
    from sphinx.application import Sphinx

GENERATED = {
    "api": api.markdown,
    "commands": commands.markdown,
    "datasets": datasets.markdown,
    "files": files.markdown,
    "mistakes": mistakes.markdown,
    "optimizers": recipe.optimizers_markdown,
    "recipe": recipe.markdown,
    "recipes": recipe.named_markdown,
    "tolerances": proof.markdown,
}
MARKER = re.compile(r"<!-- generated: (\w+) -->")


def filled(page: str) -> str:
    """A page's Markdown with everything that it asks for."""
    return MARKER.sub(lambda match: GENERATED[match[1]](), page)


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls before it reads the pages."""
    app.connect("builder-inited", lambda app: notebooks.bring_in(app.srcdir))
    app.connect("source-read", _fill)
    mathml.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _fill(app: Sphinx, name: str, source: list[str]) -> None:
    source[0] = filled(source[0])
