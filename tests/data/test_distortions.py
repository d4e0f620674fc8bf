"""Distorted images, held against SciPy, and against what can be seen without computing."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import installed
from scipy import ndimage

from lockstep.backends import registry
from lockstep.data import distortions
from lockstep.recipe import Recipe

SIDE = 28
BUSY = Recipe(rotation=15, scaling=0.2, shear=0.1, shift=1.5, elastic=1.5)


class Most:
    """Draws the upper bound every time."""

    def uniform(self, low, high, size):
        return np.full(size, float(high))


def moved_to_the_bounds(digits, **bounds):
    """Three images, and the same with every distortion at its upper bound; (3, 28, 28) each."""
    images = digits.train.images[:3]
    moves = distortions.displacements(Recipe(**bounds), 3, SIDE, Most())
    return (a.reshape(3, SIDE, SIDE) for a in (images, distortions.resample(images, moves)))


def expected(images, moves):
    """What SciPy takes from those places, a float."""
    places = np.indices((SIDE, SIDE)).reshape(2, 1, -1) + moves.astype(float)
    pairs = zip(images.reshape(-1, SIDE, SIDE).astype(float), places.swapaxes(0, 1), strict=True)
    taken = [ndimage.map_coordinates(i, p, order=1, mode="grid-constant") for i, p in pairs]
    return np.array(taken)


def test_values_are_taken_bilinearly_as_scipy_does(digits):
    images = digits.train.images[:50]
    moves = np.random.default_rng(0).normal(0, 8, (2, 50, SIDE**2)).astype(np.float32)
    taken = distortions.resample(images, moves)
    assert np.abs(taken - expected(images, moves)).max() < 0.501  # it is rounded to whole numbers
    moves[0, 7] += 0.1
    assert np.abs(taken - expected(images, moves)).max() > 1, "a tenth of a pixel would be seen"


def test_numba_takes_the_very_same_pixels(digits):
    Network = registry.load(installed("numba"))
    network = Network(BUSY, BUSY.initial_weights())
    ours = distortions.distorted(BUSY, digits.train.images, 1, distortions.resample)
    theirs = distortions.distorted(BUSY, digits.train.images, 1, network.resample)
    assert np.array_equal(ours, theirs)
    assert not np.array_equal(ours, digits.train.images)


def test_a_quarter_turn_is_a_quarter_turn(digits):
    images, turned = moved_to_the_bounds(digits, rotation=90)
    assert np.array_equal(turned, np.rot90(images, -1, axes=(1, 2)))


def test_a_shift_moves_by_whole_pixels_and_what_comes_in_is_empty(digits):
    images, shifted = moved_to_the_bounds(digits, shift=2)
    assert np.array_equal(shifted[:, :-2, :-2], images[:, 2:, 2:])
    assert not shifted[:, -2:].any() and not shifted[:, :, -2:].any()


def test_scaling_and_shear_take_from_where_they_say(digits):
    """A pixel 4.5 below and 2.5 right of the middle: scaling by 1.2 takes it from 5.4 and 3.0."""
    point = (14 + 4) * SIDE + 14 + 2
    for bounds, place in (
        ({"scaling": 0.2}, (0.2 * 4.5, 0.2 * 2.5)),
        ({"shear": 0.2}, (0, 0.2 * 4.5)),
    ):
        moves = distortions.displacements(Recipe(**bounds), 1, SIDE, Most())
        assert moves[:, 0, point] == pytest.approx(place, abs=1e-6)


def test_the_elastic_field_is_noise_that_a_gaussian_has_smoothed():
    """Its covariance along a line is that of SciPy's filter, but for what is left out."""
    sigma, wide = 4.0, 200
    filtered = ndimage.gaussian_filter1d(np.eye(wide), sigma, truncate=8)
    line = (filtered @ filtered)[86 : 86 + SIDE, 86 : 86 + SIDE]
    modes = distortions.smooth_modes(SIDE, sigma)
    row = modes.reshape(-1, SIDE, SIDE)[:, 14]  # every mode, along one row
    assert np.abs(row.T @ row - line / line[14, 14]).max() < 5e-3
    rng = np.random.default_rng(0)
    drawn = distortions.displacements(Recipe(elastic=1.5), 4_000, SIDE, rng)
    assert drawn.std() == pytest.approx(1.5, rel=0.02)


def test_every_epoch_and_seed_has_its_own_and_the_same_again(digits):
    images = digits.train.images[:20]

    def shown(recipe, epoch):
        return distortions.distorted(recipe, images, epoch, distortions.resample)

    first = shown(BUSY, 1)
    assert np.array_equal(first, shown(BUSY, 1))
    assert not np.array_equal(first, shown(BUSY, 2))
    assert not np.array_equal(first, shown(Recipe(**BUSY.to_dict() | {"seed": 1}), 1))
    assert np.array_equal(shown(Recipe(), 1), images), "a recipe that asks for nothing"
