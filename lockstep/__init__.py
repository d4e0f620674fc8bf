"""Lockstep: one neural network, every framework, the same numbers.

    import lockstep

    run = lockstep.compare()                  # train every backend on MNIST, prove them the same
    proof = lockstep.verify(steps=20)         # every number of every step, in float64
    verdict = lockstep.diagnose("mine.py")    # your own network: what is wrong first, and why

Each name is imported when it is first used, so `import lockstep` costs NumPy and no more, and a
framework is imported only when somebody asks for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what HOMES says, for type checkers and editors
    from . import by_hand as by_hand
    from .api import compare as compare
    from .api import diagnose as diagnose
    from .api import explain as explain
    from .api import load_run as load_run
    from .api import train as train
    from .api import verify as verify
    from .backends.registry import installed as installed_backends
    from .backends.registry import load as load_backend
    from .data.datasets import load as load_dataset
    from .errors import LockstepError as LockstepError
    from .proof.gradients import check_gradients as check_gradients
    from .recipe import Recipe as Recipe
    from .report import figures as figures
    from .training import metrics as metrics

__version__ = "0.2.0"

HOMES = {
    "LockstepError": ("errors", "LockstepError"),
    "Recipe": ("recipe", "Recipe"),
    "by_hand": ("by_hand", None),
    "check_gradients": ("proof.gradients", "check_gradients"),
    "compare": ("api", "compare"),
    "diagnose": ("api", "diagnose"),
    "explain": ("api", "explain"),
    "figures": ("report.figures", None),
    "installed_backends": ("backends.registry", "installed"),
    "load_backend": ("backends.registry", "load"),
    "load_dataset": ("data.datasets", "load"),
    "load_run": ("api", "load_run"),
    "metrics": ("training.metrics", None),
    "train": ("api", "train"),
    "verify": ("api", "verify"),
}
"""Public name → where it lives: a module, and what of it; None is the module itself."""

__all__ = [
    "LockstepError",
    "Recipe",
    "__version__",
    "by_hand",
    "check_gradients",
    "compare",
    "diagnose",
    "explain",
    "figures",
    "installed_backends",
    "load_backend",
    "load_dataset",
    "load_run",
    "metrics",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'lockstep' has no attribute {name!r}")
    module, attribute = HOMES[name]
    home = importlib.import_module(f".{module}", __name__)
    return home if attribute is None else getattr(home, attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
