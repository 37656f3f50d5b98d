"""One cycle against torch's, value by value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
from torch.optim.lr_scheduler import OneCycleLR

from lamplighter.optim.schedules.one_cycle import one_cycle

OfTorch = Callable[..., list[float]]


@pytest.mark.parametrize("anneal", ["cos", "linear"])
@pytest.mark.parametrize("warmup", [0.0, 0.13, 0.3, 0.6, 1.0])  # torch divides by zero where warmup * total is 1
@pytest.mark.parametrize("total", [2, 3, 7, 100, 1001])
def test_one_cycle_equals_torch(of_torch: OfTorch, total: int, warmup: float, anneal: Literal["cos", "linear"]) -> None:
    factor = one_cycle(total, warmup, 20.0, 500.0, anneal)
    expected = of_torch(
        lambda o: OneCycleLR(
            o, 1.0, total, pct_start=warmup, div_factor=20.0, final_div_factor=500.0, anneal_strategy=anneal
        ),
        total,
    )
    assert max(abs(factor(step) - value) for step, value in enumerate(expected)) <= 1e-12


def test_one_cycle_with_defaults_equals_torch(of_torch: OfTorch) -> None:
    expected = of_torch(lambda o: OneCycleLR(o, 1.0, 210), 210)
    factor = one_cycle(210)
    assert max(abs(factor(step) - value) for step, value in enumerate(expected)) <= 1e-12


def test_first_and_last_rate_for_a_peak_of_a_tenth() -> None:
    factor = one_cycle(1000)
    assert 0.1 * factor(0) == pytest.approx(0.004, rel=1e-12)
    assert 0.1 * factor(999) == pytest.approx(4e-7, rel=1e-9)


def test_a_warmup_of_one_step_starts_at_the_top() -> None:
    assert one_cycle(10, warmup_fraction=0.1)(0) == 1.0


def test_after_the_end_the_rate_stays() -> None:
    factor = one_cycle(50)
    assert factor(50) == factor(49) == factor(5000)
