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

import neural_networks

from ..recipe import Recipe

PACKAGE = Path(__file__).parent.parent
BY_HAND = Path(neural_networks.__file__)

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
    idiom: tuple[Listing, ...]
    """How an epoch is trained as its tutorials do, if it was."""

    @property
    def lines(self) -> int:
        """Of code that a step takes."""
        return sum(listing.lines for listing in self.listings)


HIDES = {
    "numpy": "Nothing: every product, every derivative and the optimizer's memory are lines here. "
    "Only the matrix products themselves are a library's (BLAS).",
    "torch": "The backward pass: autograd records what the forward pass does, and `backward()` "
    "walks the record in reverse. The optimizer's formula and memory are `torch.optim`'s. The loop "
    "and the four lines in it stay yours.",
    "tensorflow": "The backward pass (`GradientTape`), the optimizer's formula, and the compiler: "
    "`tf.function` traces the Python once and runs a graph, so a `print` inside runs once. Keras' "
    "`fit` would hide the loop too.",
    "jax": "The backward pass (`value_and_grad` turns a function into its derivative) and the "
    "compiler (`jit`). State it does not hide at all: weights and memory go in and come out, and "
    "nothing is changed in place.",
    "numba": "Nothing, not even the matrix products: every loop over numbers is written out, and "
    "how threads share the work. What it hides is the machine code, which Numba compiles from "
    "these lines.",
}


@functools.cache
def approach(backend: str, recipe: Recipe, idiomatic: bool = False) -> Approach:
    """The code of one backend for a step of this recipe's network; and of its idiom, if asked."""
    plan = _plan(backend, recipe)
    listings = tuple(_listing(parts, file, names) for parts, file, names in plan)
    return Approach(
        backend, listings, HIDES.get(backend, ""), (_idiom(backend),) if idiomatic else ()
    )


def _file(backend: str) -> Path:
    return PACKAGE / "backends" / f"{backend}.py"


def _idiom(backend: str) -> Listing:
    """What trains an epoch as the framework's tutorials do."""
    file = _file(backend)
    names = ("Idiomatic.build", "Idiomatic.train_epoch")
    known = _functions(file)
    return _listing("an epoch, as tutorials train", file, tuple(n for n in names if n in known))


def _plan(backend: str, recipe: Recipe) -> list[tuple[str, Path, tuple[str, ...]]]:
    """Which functions of which file do which part of a step."""
    file = _file(backend)
    network, forward, backward, update = PARTS
    through = f"{forward}, {backward}, {update}"
    match backend:
        case "numpy":
            slope = neural_networks.ACTIVATIONS[recipe.activation][1].__name__
            optimizer = type(neural_networks.OPTIMIZERS[recipe.optimizer]())
            mover = next(c for c in optimizer.__mro__ if "move" in vars(c)).__name__
            losses = ("log_softmax", "cross_entropies", "cross_entropy")
            return [
                (network, BY_HAND, ("Network.__init__", "Network.views")),
                (forward, BY_HAND, ("Network.forward", recipe.activation, *losses)),
                (backward, BY_HAND, ("Network.backward", slope, "cross_entropy_derivative")),
                (update, BY_HAND, ("Optimizer.update", f"{mover}.move")),
            ]
        case "jax":
            return [
                (f"{network}, {forward}", file, ("predict", "loss_and_logits")),
                (f"{backward}, {update}", file, ("update", "optimizer")),
            ]
        case "numba":
            kernels = PACKAGE / "kernels.py"
            movers = {"momentum": "roll", "nesterov": "roll", "rmsprop": "rmsprop"}
            movers |= {"adam": "adam", "adamw": "adam", "sgd": "descend"}
            return [
                (network, file, ("Network.build", "Network._part")),
                (forward, kernels, ("forward", "first_layer", "activate", "loss_derivative")),
                (backward, kernels, ("backward", "times_slope", "first_layer_derivative")),
                (update, kernels, ("update", "move", movers[recipe.optimizer])),
            ]
        case _:
            names = ("Network.build", "Network._reset_optimizer", "Network._new_optimizer")
            steps = ("Network._objective", "Network._update")
            known = _functions(file)
            return [
                (network, file, tuple(name for name in names if name in known)),
                (through, file, tuple(s for s in steps if s in known) or ("Network.step",)),
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


def _listing(parts: str, file: Path, names: tuple[str, ...]) -> Listing:
    known = _functions(file)
    source = file.read_text(encoding="utf-8").splitlines()
    blocks = []
    for name in names:
        node = known[name]
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        blocks.append(textwrap.dedent("\n".join(source[first - 1 : node.end_lineno])))
    shown = file.relative_to(PACKAGE.parent) if file.is_relative_to(PACKAGE) else Path(file.name)
    count = sum(lines_of_code(block) for block in blocks)
    return Listing(parts, shown.as_posix(), names, "\n\n".join(blocks), count)


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
