"""Products in a short floating-point format, where the recipe asks for a longer one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...by_hand.arrays import Array
from ...recipe import Recipe
from .catalogue import Mistake


@dataclass(frozen=True)
class Format:
    """A floating-point format: its name, and the bits of its fraction with the leading 1."""

    name: str
    bits: int

    @property
    def unit(self) -> float:
        """The largest relative error of one rounding."""
        return 2.0**-self.bits

    def rounded(self, X: Array) -> Array:
        """The nearest numbers of the format, ties to even; float64 holds them."""
        if self.name == "float16":  # whose exponents are short too
            return np.asarray(X, np.float16).astype(float)
        fraction, exponent = np.frexp(X)
        return np.ldexp(np.round(fraction * 2.0**self.bits), exponent - self.bits)


FORMATS = (Format("bfloat16", 8), Format("float16", 11), Format("TF32", 11))


class RoundedOperands(Mistake):
    """What a tensor core does: both operands of a product in a short format, the sum in a long."""

    def __init__(self, recipe: Recipe, form: Format) -> None:
        super().__init__(recipe)
        self.form = form
        self.name = f"{form.name} rounding"
        self.sentence = f"the operands of the matrix products are rounded to {form.name}"

    def product(self, A: Array, B: Array) -> Array:
        return self.form.rounded(A) @ self.form.rounded(B)
