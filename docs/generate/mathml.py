"""Formulas as MathML, which every browser draws by itself: no script, no font, no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.errors import SphinxError

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

CONVERTER = LatexToMathML(fancy_error=False)


def mathml(tex: str, block: bool) -> str:
    """A formula as a `<math>` element; raises SphinxError if it is not TeX that is known here."""
    try:
        return CONVERTER.convert_with_local_state(tex, displaystyle=block)
    except LatexError as error:
        raise SphinxError(f"The formula {tex!r} is not understood: {error}") from None


def setup(app: Sphinx) -> None:
    """Make it the renderer that `html_math_renderer` can name."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))


def _inline(writer: HTML5Translator, node: nodes.Element) -> None:
    writer.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _block(writer: HTML5Translator, node: nodes.Element) -> None:
    writer.body.append(f'<div class="formula">{mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode
