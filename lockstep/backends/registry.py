"""Which backends there are: one row for each, and how its network is found.

A backend is one file in this folder, named as its framework is imported, and one row here. A
framework is imported only when somebody asks for its network.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ..errors import LockstepError, one_of

if TYPE_CHECKING:  # the contract imports NumPy, which belongs to what importing a framework costs
    from .contract import Backend

REFERENCE = "numpy"
"""The backend that the others are compared with: the network by hand."""


class Row(NamedTuple):
    """What is known of a backend without importing it."""

    label: str
    """How its makers write it."""
    color: str
    """Its colour in figures, of Okabe and Ito's palette, which colour-blind readers can tell
    apart."""
    marker: str
    """Its mark in figures, as matplotlib calls it."""
    hides: str
    """What it does without being told, in a sentence or two."""
    tutorial: str = ""
    """What its tutorials train with, if that is not the fast way: its second class does so."""
    companions: tuple[str, ...] = ()
    """The packages that its file imports besides."""
    environment: Mapping[str, str] = MappingProxyType({})
    """Environment variables for a process of its own, where the user has not set them."""


ROWS: dict[str, Row] = {
    "numpy": Row(
        label="NumPy",
        color="#222222",
        marker="s",
        hides="Nothing: every product, every derivative and the optimizer's memory are lines here. "
        "Only the matrix products themselves are a library's (BLAS).",
    ),
    "jax": Row(
        label="JAX",
        color="#009e73",
        marker="^",
        hides="The backward pass (`value_and_grad` turns a function into its derivative) and the "
        "compiler (`jit`). State it does not hide at all: weights and memory go in and come out, "
        "and nothing is changed in place.",
        companions=("optax",),
        # Take a GPU's memory as it is needed, not three quarters of it at once.
        environment={"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
    ),
    "numba": Row(
        label="Numba",
        color="#0072b2",
        marker="o",
        hides="Nothing, not even the matrix products: every loop over numbers is written out, and "
        "how threads share the work. What it hides is the machine code, which Numba compiles from "
        "these lines.",
        companions=("llvmlite",),
    ),
    "tensorflow": Row(
        label="TensorFlow",
        color="#e69f00",
        marker="D",
        hides="The backward pass (`GradientTape`), the optimizer's formula, and the compiler: "
        "`tf.function` traces the Python once and runs a graph, so a `print` inside runs once. "
        "Keras' `fit` would hide the loop too.",
        tutorial="fit",
        companions=("keras",),
        environment={"TF_CPP_MIN_LOG_LEVEL": "2"},  # what its C++ core logs: errors only
    ),
    "torch": Row(
        label="PyTorch",
        color="#d55e00",
        marker="v",
        hides="The backward pass: autograd records what the forward pass does, and `backward()` "
        "walks the record in reverse. The optimizer's formula and memory are `torch.optim`'s. The "
        "loop and the four lines in it stay yours.",
        tutorial="DataLoader",
    ),
}
"""Name → row, the reference first. The name is that of the file, of the import, of the extra in
`pyproject.toml`, and on the command line."""


def names() -> tuple[str, ...]:
    """Every backend there is, installed or not; the reference first."""
    return tuple(ROWS)


def installed() -> tuple[str, ...]:
    """The backends whose framework is installed; none of them is imported to find out.

    >>> "numpy" in installed()
    True
    """
    return tuple(name for name in names() if importlib.util.find_spec(name))


def require(name: str) -> None:
    """Raise unless the backend exists and its framework is installed."""
    one_of(names(), name, "backend")
    if name not in installed():
        raise LockstepError(f"{name} is not installed here; {install_command([name])} adds it.")


def tutorial(name: str) -> str:
    """What a backend's tutorials train with, if that is a way of its own; else ""."""
    return ROWS[name].tutorial


def load(name: str, as_tutorial: bool = False) -> type[Backend]:
    """The backend's class, or the one that trains as tutorials do; imports its framework.

    Raises LockstepError if there is no such backend, or if its framework is not installed.

    >>> from lockstep.recipe import Recipe
    >>> recipe = Recipe(hidden=(16,))
    >>> network = load("numpy")(recipe, recipe.initial_weights())
    >>> network.version().split()[0]
    'NumPy'
    """
    require(name)
    try:
        module = importlib.import_module(f".{name}", __package__)
    except ModuleNotFoundError as error:  # a companion, such as JAX's Optax
        add = install_command([name])
        raise LockstepError(f"{name} needs {error.name}, which is absent; {add} adds it.") from None
    found: type[Backend] = module.TutorialNetwork if as_tutorial else module.Network
    return found


def install_command(missing: Iterable[str]) -> str:
    """The command that installs the frameworks of these backends, or other packages.

    >>> install_command(["torch", "jax"])
    '`pip install torch jax optax`'
    """
    companions = {name: row.companions for name, row in ROWS.items()}
    packages = [package for name in missing for package in (name, *companions.get(name, ()))]
    return f"`pip install {' '.join(packages)}`"
