"""The recipe: what two networks must share to compute the same numbers."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from . import layouts
from .by_hand import activations, initializers, optimizers
from .by_hand.network import Network
from .errors import LockstepError, one_of, reason
from .layouts import Layout, Weights
from .schedules import SCHEDULES

DTYPES = ("float32", "float64")
DIALECTS = ("torch", "keras")
USUAL_INITIALIZATION = {"relu": "he", "tanh": "glorot", "sigmoid": "glorot"}
USUAL_LEARNING_RATE = {
    "sgd": 0.1,
    "momentum": 0.01,
    "nesterov": 0.01,
    "rmsprop": 1e-3,
    "adam": 1e-3,
    "adamw": 1e-3,
}
OPTIMIZER_NUMBERS = {
    "sgd": (),
    "momentum": ("momentum",),
    "nesterov": ("momentum",),
    "rmsprop": ("rho", "epsilon"),
    "adam": ("beta1", "beta2", "epsilon"),
    "adamw": ("beta1", "beta2", "epsilon", "weight_decay"),
}
"""Which of the recipe's numbers each optimizer takes, beside the learning rate."""


def _setting(default: Any, words: str) -> Any:
    """A field of Recipe with what it means, which help and documentation show."""
    return dataclasses.field(default=default, metadata={"words": words})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One network and how it is trained, in the field's terms; the same for every backend.

    The loss is the mean cross-entropy over the batch plus `l2` / 2 times the sum of the squared
    weights (biases are never penalised, nor decayed by `weight_decay`). `initialization` and
    `learning_rate` are, unless given, the usual ones of the activation and of the optimizer.

    From `rotation` to `average` it speaks of what `train` does around the updates; a proof makes
    its updates on the images as they are.

    >>> Recipe(hidden=(256, 64), activation="tanh", optimizer="sgd").summary()
    '784-256-64-10, tanh, sgd 0.1, batch 32, 5 epochs, float32'
    """

    hidden: tuple[int, ...] = _setting((128,), "hidden sizes, e.g. 128 or 128,64")
    activation: str = _setting("relu", "activation between the layers: relu, tanh or sigmoid")
    initialization: str = _setting(
        None,
        "initial weights: glorot, he, lecun or pytorch (default: he for relu, else glorot)",
    )
    optimizer: str = _setting("adam", "sgd, momentum, nesterov, rmsprop, adam or adamw")
    learning_rate: float = _setting(None, "learning rate (default: the optimizer's usual one)")
    schedule: str = _setting(
        "constant", "learning rate during training: constant, cut, linear or cosine"
    )
    momentum: float = _setting(0.9, "μ of momentum and nesterov")
    rho: float = _setting(0.9, "ρ of rmsprop")
    beta1: float = _setting(0.9, "β₁ of adam and adamw")
    beta2: float = _setting(0.999, "β₂ of adam and adamw")
    epsilon: float = _setting(1e-8, "ε of rmsprop, adam and adamw")
    weight_decay: float = _setting(0.01, "decoupled weight decay of adamw")
    l2: float = _setting(0.0, "L2 penalty on the weights")
    batch_size: int = _setting(32, "images in one update")
    epochs: int = _setting(5, "passes over the training set")
    rotation: float = _setting(0.0, "rotate each image by up to this many degrees, anew each epoch")
    scaling: float = _setting(0.0, "stretch each side by up to this share")
    shear: float = _setting(0.0, "shear by up to this share of the height")
    shift: float = _setting(0.0, "move by up to this many pixels")
    elastic: float = _setting(
        0.0, "move each pixel by a random field with this standard deviation, in pixels"
    )
    elastic_smoothness: float = _setting(4.0, "σ that smooths this field, in pixels")
    average: float = _setting(0.0, "average the weights over this last share of the training")
    seed: int = _setting(0, "seed of the initial weights and the batch order")
    dtype: str = _setting("float32", "float32 or float64")
    dialect: str = _setting(
        "torch", "optimizer formulas that the network by hand uses: torch or keras"
    )
    inputs: int = _setting(784, "pixels of an image")
    classes: int = _setting(10, "classes to tell apart")

    def __post_init__(self) -> None:
        if not isinstance(self.hidden, list | tuple):
            raise LockstepError(
                f"hidden is {self.hidden!r}; write a list of sizes, e.g. (128, 64)."
            )
        object.__setattr__(self, "hidden", tuple(self.hidden))
        one_of(activations.ACTIVATIONS, self.activation, "activation")
        if self.initialization is None:
            object.__setattr__(self, "initialization", USUAL_INITIALIZATION[self.activation])
        one_of(initializers.INITIALIZATIONS, self.initialization, "initialization")
        one_of(optimizers.OPTIMIZERS, self.optimizer, "optimizer")
        one_of(SCHEDULES, self.schedule, "schedule")
        one_of(DTYPES, self.dtype, "dtype")
        one_of(DIALECTS, self.dialect, "dialect")
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", USUAL_LEARNING_RATE[self.optimizer])
        for name in ("batch_size", "epochs", "inputs", "classes"):
            _require(name, getattr(self, name), whole=True, least=1)
        for size in self.hidden:
            _require("hidden", size, whole=True, least=1)
        _require("seed", self.seed, whole=True, least=0)
        for name in ("learning_rate", "epsilon"):
            _require(name, getattr(self, name), above=0)
        for name in ("weight_decay", "l2"):
            _require(name, getattr(self, name), least=0)
        for name in ("shear", "shift", "elastic"):
            _require(name, getattr(self, name), least=0, below=100)
        _require("elastic_smoothness", self.elastic_smoothness, least=0.1, below=100)
        _require("rotation", self.rotation, least=0, below=180)
        _require("average", self.average, least=0, below=1)
        for name in ("momentum", "rho", "beta1", "beta2", "scaling"):
            _require(name, getattr(self, name), least=0, below=1)

    @property
    def distorts(self) -> bool:
        """Whether the images of an epoch are others than those of the dataset."""
        bounds = (self.rotation, self.scaling, self.shear, self.shift, self.elastic)
        return any(bound > 0 for bound in bounds)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Every layer's width from pixels to classes, e.g. (784, 128, 10)."""
        return (self.inputs, *self.hidden, self.classes)

    @property
    def layouts(self) -> dict[str, Layout]:
        """Name → layout of every weight, in the order in which the digits meet them."""
        return layouts.dense(self.sizes)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name → shape of every weight, in the same order."""
        return {name: layout.shape for name, layout in self.layouts.items()}

    @property
    def optimizer_numbers(self) -> dict[str, float]:
        """The optimizer's numbers by name, the learning rate first."""
        names = ("learning_rate", *OPTIMIZER_NUMBERS[self.optimizer])
        return {name: getattr(self, name) for name in names}

    def initial_weights(self) -> Weights:
        """The weights that every backend starts from, drawn by the network by hand."""
        network = Network(self.sizes, self.activation, dtype=self.dtype)
        network.initialize(self.initialization, self.seed)
        return self.named(network.W, network.b)

    def named(self, matrices: Iterable[np.ndarray], biases: Iterable[np.ndarray]) -> Weights:
        """Each layer's matrix and bias, as the network by hand lists them, by their names."""
        arrays = (array for pair in zip(matrices, biases, strict=True) for array in pair)
        return dict(zip(self.shapes, arrays, strict=True))

    def summary(self) -> str:
        """One line for people: `784-128-10, relu, adam 0.001, batch 32, 5 epochs, float32`."""
        sizes = "-".join(map(str, self.sizes))
        rate = f"{self.optimizer} {self.learning_rate:g}"
        if self.schedule != "constant":
            rate += f" {self.schedule}"
        epochs = f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"
        parts = [sizes, self.activation, rate, f"batch {self.batch_size}", epochs, self.dtype]
        parts += ["distorted images"] if self.distorts else []
        parts += [f"mean of the last {self.average:.0%}"] if self.average else []
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` reads them back."""
        return {**dataclasses.asdict(self), "hidden": list(self.hidden)}


LARGEST, LARGEST_WHOLE = 1e308, 1e15
"""Python's whole numbers have no limit, and those of NumPy and the frameworks have."""


def _require(
    name: str,
    value: Any,
    whole: bool = False,
    least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> None:
    """Raise one sentence unless the value is a number within the bounds."""
    kind = int if whole else (int, float)
    good = isinstance(value, kind) and not isinstance(value, bool)
    good = good and abs(value) < (LARGEST_WHOLE if whole else LARGEST) and math.isfinite(value)
    if good and least <= value and above < value < below:
        return
    bounds = [f"at least {least:g}"] if least > -math.inf else []
    bounds += [f"above {above:g}"] if above > -math.inf else []
    bounds += [f"below {below:g}"] if below < math.inf else []
    noun = "a whole number" if whole else "a number"
    raise LockstepError(f"The recipe's {name} is {value!r}; it must be {noun} {', '.join(bounds)}.")


def from_dict(values: dict[str, Any], source: str = "the recipe") -> Recipe:
    """A recipe from plain values; an unknown key is answered with the nearest known one."""
    fields = [field.name for field in dataclasses.fields(Recipe)]
    for key in values:
        one_of(fields, key, f"setting in {source} named")
    hidden = values.get("hidden", [])
    if not isinstance(hidden, list | tuple):
        raise LockstepError(f"hidden in {source} is {hidden!r}; write a list, e.g. [128, 64].")
    for name in ("activation", "initialization", "optimizer", "schedule", "dtype", "dialect"):
        if not isinstance(values.get(name, ""), str):
            raise LockstepError(f"{name} in {source} is {values[name]!r}; write a name in quotes.")
    return Recipe(**values)


def read_toml(name: str | Path) -> dict[str, Any]:
    """The settings of a recipe file, or of a named one; every key is a field of Recipe."""
    path = Path(name)
    if path.name == str(name) and not path.suffix and not path.exists():
        known = named_recipes()
        path = known[one_of(known, str(name), "recipe named")]
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # Windows writes a BOM
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise LockstepError(f"Cannot read the recipe {path}: {why}.") from None
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # beside TOMLDecodeError: 5,000 digits, "[[[["
        raise LockstepError(f"The recipe {path} is not valid TOML: {error}.") from None


def named_recipes() -> dict[str, Path]:
    """The recipes that come with Lockstep: beside the package in a clone, in it in a wheel."""
    package = Path(__file__).parent
    in_wheel = package / "recipes"
    folder = in_wheel if in_wheel.is_dir() else package.parent / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def parse_sizes(text: str) -> tuple[int, ...]:
    """Hidden sizes as typed: "128" or "256,64"; "" is a network without hidden layers."""
    try:
        return tuple(int(size) for size in text.split(",")) if text else ()
    except ValueError:
        raise LockstepError(
            f"Hidden sizes {text!r} are not whole numbers with commas, such as 128 or 256,64."
        ) from None
