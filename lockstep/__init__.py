"""Lockstep: one neural network, every framework, the same numbers.

    data = lockstep.load_dataset("mnist")
    recipe = lockstep.Recipe(hidden=(128,), optimizer="adam")
    network = lockstep.load_backend("torch")(recipe, recipe.initial_weights())

The names below are imported when first used, so `lockstep --help` answers at once and a framework
is imported only when somebody asks for it.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_HOME = {
    "Recipe": ("recipe", "Recipe"),
    "load_backend": ("backend", "load"),
    "installed_backends": ("backend", "installed"),
    "check_gradients": ("gradcheck", "check_gradients"),
    "load_dataset": ("datasets", "load"),
    "load_results": ("results", "load"),
}
__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'lockstep' has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(f".{module}", __name__), attribute)
