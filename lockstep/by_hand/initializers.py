"""First weights: each scheme draws one layer's matrix and bias."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arrays import Array


def glorot(rng: np.random.Generator, n_in: int, n_out: int) -> tuple[Array, Array]:
    """U(±√(6 / (n_in + n_out))), bias 0: Glorot & Bengio 2010, eq. 16. What Keras does."""
    limit = np.sqrt(6 / (n_in + n_out))
    return rng.uniform(-limit, limit, (n_in, n_out)), np.zeros(n_out)


def he(rng: np.random.Generator, n_in: int, n_out: int) -> tuple[Array, Array]:
    """N(0, 2 / n_in), bias 0: He et al. 2015, eq. 10; made for ReLU, which halves the variance."""
    return rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out)), np.zeros(n_out)


def lecun(rng: np.random.Generator, n_in: int, n_out: int) -> tuple[Array, Array]:
    """N(0, 1 / n_in), bias 0: LeCun et al. 1998, Efficient BackProp, eq. 16; made for tanh."""
    return rng.normal(0, np.sqrt(1 / n_in), (n_in, n_out)), np.zeros(n_out)


def pytorch(rng: np.random.Generator, n_in: int, n_out: int) -> tuple[Array, Array]:
    """U(±1/√n_in), the bias too: what torch.nn.Linear draws when it is made."""
    limit = 1 / np.sqrt(n_in)
    return rng.uniform(-limit, limit, (n_in, n_out)), rng.uniform(-limit, limit, n_out)


INITIALIZATIONS: dict[str, Callable[..., tuple[Array, Array]]] = {
    "glorot": glorot,
    "he": he,
    "lecun": lecun,
    "pytorch": pytorch,
}
