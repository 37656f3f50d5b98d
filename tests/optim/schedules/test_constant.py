"""A constant rate is constant; its warm-up is tested with those of the falling schedules in test_decay.py."""

from __future__ import annotations

from lamplighter.optim.schedules.constant import constant


def test_constant_is_one() -> None:
    assert {constant(10)(step) for step in range(10)} == {1.0}
