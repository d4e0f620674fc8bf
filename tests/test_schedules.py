"""Learning rates that change, by hand."""

from __future__ import annotations

import pytest

from lockstep import schedules


def rates(name, total=9, **options):
    return schedules.learning_rates(name, 2.0, 0, total, total, **options).tolist()


def test_each_schedule_by_hand():
    assert rates("constant") == [2.0] * 9
    assert rates("cut") == pytest.approx([2.0] * 4 + [0.2] * 5)
    up = [1.0, 2.0]
    assert rates("linear") == pytest.approx([*up, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25])
    cosine = rates("cosine")
    assert cosine[:2] == pytest.approx(up) and cosine[5] == pytest.approx(1.0)
    assert cosine[2:] == sorted(cosine[2:], reverse=True)


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_parts_of_a_training_join_seamlessly_and_never_stand_still(name):
    parts = [schedules.learning_rates(name, 0.1, first, 5, 20) for first in (0, 5, 10, 15)]
    whole = schedules.learning_rates(name, 0.1, 0, 20, 20)
    assert [rate for part in parts for rate in part] == whole.tolist()
    assert whole.min() > 0 and whole.max() <= 0.1
