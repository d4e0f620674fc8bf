"""What is made of the training images: once for the same arrays, and gone when they are."""

import gc
import weakref

import numpy as np

from lockstep.backends.cache import Kept


class Product:
    """Something that tells by a weak reference whether it is still there."""


def test_the_same_arrays_are_worked_on_once():
    made = []
    kept = Kept(lambda *arrays: made.append(arrays) or len(made))
    a, b = np.zeros(3), np.zeros(3)
    assert [kept.of(a, b), kept.of(a, b)] == [1, 1]
    assert kept.of(a, b.copy()) == 2  # equal, but not the same: they might be changed apart
    assert kept.of(a) == 3
    assert kept.of(a, b) == 4


def test_nothing_stays_of_arrays_that_are_gone():
    kept = Kept(lambda images: Product())
    images = np.zeros(3)
    product = weakref.ref(kept.of(images))
    gc.collect()
    assert product() is not None, "it must stay as long as the images do"
    del images
    gc.collect()
    assert product() is None


def test_of_two_sets_the_first_is_gone_before_the_second_is_made():
    alive = []

    def make(images):
        alive.append(sum(product() is not None for product in products))
        return Product()

    products: list[weakref.ref] = []
    kept = Kept(make)
    first, second = np.zeros(3), np.zeros(3)
    products.append(weakref.ref(kept.of(first)))
    kept.of(second)
    assert alive == [0, 0]
