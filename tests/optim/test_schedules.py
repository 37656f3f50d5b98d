"""Schedules against torch's, value by value."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lamplighter.optim.schedules import constant, one_cycle


def torch_values(total: int, warmup: float, div: float, final_div: float, anneal: str) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=total,
        pct_start=warmup,
        div_factor=div,
        final_div_factor=final_div,
        anneal_strategy=anneal,  # type: ignore[arg-type]
    )
    values = []
    for _ in range(total):
        values.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if len(values) < total:
            schedule.step()
    return values


@pytest.mark.parametrize("anneal", ["cos", "linear"])
@pytest.mark.parametrize("warmup", [0.0, 0.13, 0.3, 0.6, 1.0])  # torch divides by zero where warmup * total is 1
@pytest.mark.parametrize("total", [2, 3, 7, 100, 1001])
def test_one_cycle_equals_torch(total: int, warmup: float, anneal: str) -> None:
    factor = one_cycle(total, warmup, 20.0, 500.0, anneal)  # type: ignore[arg-type]
    expected = torch_values(total, warmup, 20.0, 500.0, anneal)
    worst = max(abs(factor(step) - value) for step, value in enumerate(expected))
    assert worst <= 1e-12


def test_one_cycle_with_defaults_equals_torch() -> None:
    expected = torch_values(210, 0.3, 25.0, 1e4, "cos")
    factor = one_cycle(210)
    assert max(abs(factor(step) - value) for step, value in enumerate(expected)) <= 1e-12


def test_a_warmup_of_one_step_starts_at_the_top() -> None:
    assert one_cycle(10, warmup_fraction=0.1)(0) == 1.0


def test_after_the_end_the_rate_stays() -> None:
    factor = one_cycle(50)
    assert factor(50) == factor(49) == factor(5000)


def test_constant_is_one() -> None:
    assert {constant()(step) for step in range(10)} == {1.0}
