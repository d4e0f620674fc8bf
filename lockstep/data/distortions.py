"""Distorted copies of the training images, new ones for every epoch: affine and elastic.

More digits than there are: each is rotated, scaled, sheared and shifted a little, and its ink is
pushed about by a smooth random field (Simard, Steinkraus & Platt 2003, Best Practices for
Convolutional Neural Networks, sections 2 and 2.1). Every pixel takes its value from where it would
have been: images → displacements → values there.

Simard smooths white noise with a Gaussian. What comes out has few degrees of freedom, so we draw
those instead: the eigenvectors of its covariance that matter (Karhunen-Loève), 7 along each side
for 28 pixels and σ = 4. Then all that is needed for a thousand images is one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ..errors import LockstepError
from ..recipe import Recipe

AT_ONCE = 1_000
"""Images that are distorted together; their displacements take 6 MB."""
KEPT = 0.999
"""The share of a random field's variance that is drawn."""

Resample = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""`resample`, or what computes the same."""


def distorted(recipe: Recipe, images: np.ndarray, epoch: int, resample: Resample) -> np.ndarray:
    """The images (N, side²) uint8 as this epoch (from 1) shows them, a new array.

    Each image's distortion depends on the recipe's seed, the epoch and its place alone, so that
    every backend sees the same.
    """
    side = math.isqrt(images.shape[1])
    if images.dtype != np.uint8 or side**2 != images.shape[1]:
        raise LockstepError(f"Only square uint8 images can be distorted, not {images.shape[1:]}.")
    rng = np.random.default_rng([recipe.seed, epoch, 1])  # another stream than the batches'
    shown = np.empty_like(images)
    for start in range(0, len(images), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        moves = displacements(recipe, len(images[part]), side, rng)
        shown[part] = resample(images[part], moves)
    return shown


def displacements(recipe: Recipe, count: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """How far below (0) and right (1) of itself a pixel takes its value, (2, count, side²) float32.

    In pixels. About the image's middle, a point p comes from A·p + shift + elastic field.
    """
    linear = affine(recipe, count, rng) - np.eye(2)[:, :, None]
    shift = rng.uniform(-recipe.shift, recipe.shift, (2, 1, count))
    moves = np.concatenate([linear, shift], axis=1).transpose(0, 2, 1)  # (2, count, 3)
    coefficients, basis = moves.astype(np.float32), positions(side)
    if recipe.elastic:
        modes = smooth_modes(side, recipe.elastic_smoothness)
        drawn = rng.standard_normal((2, count, len(modes)), np.float32)
        drawn *= np.float32(recipe.elastic)
        coefficients = np.concatenate([coefficients, drawn], axis=2)
        basis = np.concatenate([basis, modes])
    return coefficients @ basis


def affine(recipe: Recipe, count: int, rng: np.random.Generator) -> np.ndarray:
    """The matrices A = rotation · shear · scaling, (2, 2, count).

    Angle, the two scales and the shear are uniform between their bounds, either way.
    """
    angle = np.deg2rad(rng.uniform(-recipe.rotation, recipe.rotation, count))
    tall, wide = 1 + rng.uniform(-recipe.scaling, recipe.scaling, (2, count))
    shear = rng.uniform(-recipe.shear, recipe.shear, count)
    cos, sin = np.cos(angle), np.sin(angle)
    # [cos -sin; sin cos] · [1 0; shear 1] · [tall 0; 0 wide], for (down, right)
    down = (cos - sin * shear) * tall, -sin * wide
    right = (sin + cos * shear) * tall, cos * wide
    return np.array([down, right])


@lru_cache(maxsize=1)
def positions(side: int) -> np.ndarray:
    """How far each pixel lies below and right of the middle, and 1; (3, side²) float32."""
    along = np.arange(side) - (side - 1) / 2
    down, right = np.meshgrid(along, along, indexing="ij")
    return np.stack([down.ravel(), right.ravel(), np.ones(side * side)]).astype(np.float32)


@lru_cache(maxsize=1)
def smooth_modes(side: int, sigma: float) -> np.ndarray:
    """Fields (modes, side²) float32 whose sum, each times a standard normal, is smoothed noise.

    White noise smoothed by a Gaussian of width σ has covariance exp(-d²/4σ²) at distance d, here
    with variance 1; over rows and columns it is a product, and so are its eigenvectors.
    """
    along = np.arange(side)
    covariance = np.exp(-((along[:, None] - along) ** 2) / (4 * sigma**2))
    variances, vectors = np.linalg.eigh(covariance)  # ascending
    left_out = np.cumsum(variances) < (1 - KEPT) * variances.sum()
    axis = (vectors * np.sqrt(np.maximum(variances, 0)))[:, ~left_out].T  # (modes, side)
    return np.einsum("ai,bj->abij", axis, axis).reshape(-1, side * side).astype(np.float32)


def resample(images: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Each pixel's new value: bilinear between the four around where it comes from; outside is 0.

    Images (N, side²) uint8, moves (2, N, side²) in pixels, the result (N, side²) uint8, rounded.
    """
    side = math.isqrt(images.shape[1])
    wide = side + 3  # a border of zeros: one before, two after
    padded = np.zeros((len(images), wide, wide), np.uint8)
    padded[:, 1:-2, 1:-2] = images.reshape(-1, side, side)
    at = (np.indices((side, side)).reshape(2, -1) + 1).astype(np.float32)
    here = np.zeros(images.shape, np.int32)
    share = []
    for axis, stride in enumerate((wide, 1)):
        place = np.clip(moves[axis] + at[axis], 0, side + 1)
        whole = np.floor(place)
        here += whole.astype(np.int32) * stride
        share.append(place - whole)
    here += np.arange(len(images), dtype=np.int32)[:, None] * wide**2
    down, right = share
    ink = padded.ravel()
    above = ink[here] * (1 - right) + ink[here + 1] * right
    below = ink[here + wide] * (1 - right) + ink[here + wide + 1] * right
    return (above * (1 - down) + below * down + np.float32(0.5)).astype(np.uint8)
