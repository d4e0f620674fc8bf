"""Control and abstraction: the code that each approach needs for the same step, from its file.

The files are read, not imported: no framework is needed to show what it takes to use it.
"""

from __future__ import annotations

import ast
import functools
import io
import textwrap
import tokenize
from pathlib import Path
from typing import NamedTuple

from ..backends.registry import ROWS
from ..by_hand import activations, optimizers
from ..recipe import Recipe

PACKAGE = Path(__file__).parent.parent

PARTS = ("the network", "forward and loss", "backward", "update")
"""What a step takes, in the order in which it happens."""


class Listing(NamedTuple):
    """One approach's code for some parts of a step."""

    parts: str
    file: str
    names: tuple[str, ...]
    """The functions, as Python qualifies them."""
    code: str
    lines: int
    """Of code: not blank, no comment, no docstring."""


class Approach(NamedTuple):
    """What one backend makes you write, and what it does without being told."""

    backend: str
    listings: tuple[Listing, ...]
    hides: str
    tutorial: tuple[Listing, ...]
    """How an epoch is trained as its tutorials do, if it was."""

    @property
    def lines(self) -> int:
        """Of code that a step takes."""
        return sum(listing.lines for listing in self.listings)


@functools.cache
def approach(backend: str, recipe: Recipe, as_tutorial: bool = False) -> Approach:
    """The code of one backend for a step of this recipe's network; and its tutorials', if asked."""
    listings = tuple(_listing(parts, sources) for parts, sources in _sources(backend, recipe))
    tutorial = (_tutorial(backend),) if as_tutorial else ()
    return Approach(backend, listings, ROWS[backend].hides, tutorial)


Sources = list[tuple[Path, tuple[str, ...]]]
"""Files, and which functions of each."""


def _file(backend: str) -> Path:
    return PACKAGE / "backends" / f"{backend}.py"


def _tutorial(backend: str) -> Listing:
    """What trains an epoch as the framework's tutorials do."""
    file = _file(backend)
    names = ("TutorialNetwork.build", "TutorialNetwork.train_epoch")
    known = _functions(file)
    return _listing("an epoch, as tutorials train", [(file, tuple(n for n in names if n in known))])


def _sources(backend: str, recipe: Recipe) -> list[tuple[str, Sources]]:
    """Which functions of which files do which part of a step."""
    file = _file(backend)
    network, forward, backward, update = PARTS
    through = f"{forward}, {backward}, {update}"
    match backend:
        case "numpy":
            return _by_hand(recipe)
        case "jax":
            return [
                (f"{network}, {forward}", [(file, ("predict", "loss_and_logits"))]),
                (f"{backward}, {update}", [(file, ("update", "optimizer"))]),
            ]
        case "numba":
            kernels = PACKAGE / "backends" / "kernels.py"
            movers = {"momentum": "roll", "nesterov": "roll", "rmsprop": "rmsprop"}
            movers |= {"adam": "adam", "adamw": "adam", "sgd": "descend"}
            ahead = ("forward", "first_layer", "activate", "loss_derivative")
            back = ("backward", "times_slope", "first_layer_derivative")
            return [
                (network, [(file, ("Network.build", "Network._shard"))]),
                (forward, [(kernels, ahead)]),
                (backward, [(kernels, back)]),
                (update, [(kernels, ("update", "move", movers[recipe.optimizer]))]),
            ]
        case _:
            names = ("Network.build", "Network._reset_optimizer", "Network._new_optimizer")
            steps = ("Network._objective", "Network._update")
            known = _functions(file)
            return [
                (network, [(file, tuple(name for name in names if name in known))]),
                (through, [(file, tuple(s for s in steps if s in known) or ("Network.step",))]),
            ]


def _by_hand(recipe: Recipe) -> list[tuple[str, Sources]]:
    """The network by hand has a file for each thought."""
    folder = PACKAGE / "by_hand"
    network, losses, layers = (folder / f"{name}.py" for name in ("network", "losses", "layers"))
    slope = activations.ACTIVATIONS[recipe.activation][1].__name__
    optimizer = type(optimizers.OPTIMIZERS[recipe.optimizer]())
    mover = next(c for c in optimizer.__mro__ if "move" in vars(c)).__name__
    loss = ("log_softmax", "cross_entropies", "cross_entropy")
    activation = folder / "activations.py"
    return [
        (PARTS[0], [(network, ("Network.__init__", "Network.views"))]),
        (
            PARTS[1],
            [
                (network, ("Network.forward",)),
                (layers, ("dense",)),
                (activation, (recipe.activation,)),
                (losses, loss),
            ],
        ),
        (
            PARTS[2],
            [
                (network, ("Network.backward",)),
                (layers, ("dense_derivatives",)),
                (activation, (slope,)),
                (losses, ("cross_entropy_derivative",)),
            ],
        ),
        (PARTS[3], [(folder / "optimizers.py", ("Optimizer.update", f"{mover}.move"))]),
    ]


def _functions(file: Path) -> dict[str, ast.FunctionDef]:
    """Every function of a file by its qualified name."""
    found: dict[str, ast.FunctionDef] = {}
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            members = (member for member in node.body if isinstance(member, ast.FunctionDef))
            found |= {f"{node.name}.{member.name}": member for member in members}
    return found


def _listing(parts: str, sources: Sources) -> Listing:
    blocks: list[str] = []
    for file, names in sources:
        known, source = _functions(file), file.read_text(encoding="utf-8").splitlines()
        for name in names:
            node = known[name]
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            blocks.append(textwrap.dedent("\n".join(source[first - 1 : node.end_lineno])))
    shown = ", ".join(file.relative_to(PACKAGE.parent).as_posix() for file, _ in sources)
    functions = tuple(name for _, names in sources for name in names)
    count = sum(lines_of_code(block) for block in blocks)
    return Listing(parts, shown, functions, "\n\n".join(blocks), count)


def lines_of_code(source: str) -> int:
    """Lines that hold code: blank ones, comments and docstrings do not count."""
    docstrings = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node)
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    idle = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
            tokenize.ENDMARKER, tokenize.ENCODING}  # fmt: skip
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in idle:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)
