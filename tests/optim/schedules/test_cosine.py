"""Cosine schedules against torch's and their closed form, value by value."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, CosineAnnealingWarmRestarts, LinearLR, LRScheduler, SequentialLR

from lamplighter.core.errors import TrainingError
from lamplighter.optim.schedules.cosine import cosine, warm_restarts, warmup_cosine

OfTorch = Callable[..., list[float]]


@pytest.mark.parametrize("final", [0.0, 0.1])
@pytest.mark.parametrize("total", [1, 2, 7, 100, 1001])
def test_cosine_equals_torch_and_its_closed_form(of_torch: OfTorch, total: int, final: float) -> None:
    factor = cosine(total, final=final)
    expected = of_torch(lambda o: CosineAnnealingLR(o, total, final), total)
    assert max(abs(factor(t) - value) for t, value in enumerate(expected)) <= 1e-12
    closed = [final + (1 - final) * 0.5 * (1 + math.cos(math.pi * t / total)) for t in range(total + 1)]
    assert [factor(t) for t in range(total + 1)] == pytest.approx(closed, abs=1e-15)
    assert factor(total + 50) == factor(total)


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step()`:UserWarning")  # torch's own call
@pytest.mark.parametrize(("warmup", "steps"), [(0.05, 10), (25, 25)])
def test_warmup_cosine_equals_torchs_sequence(of_torch: OfTorch, warmup: int | float, steps: int) -> None:
    def sequence(o: torch.optim.Optimizer) -> LRScheduler:
        rise = LinearLR(o, 0.01, 1.0, steps)
        return SequentialLR(o, [rise, CosineAnnealingLR(o, 200 - steps, 0.2)], [steps])

    factor = warmup_cosine(200, warmup=warmup, final=0.2)
    assert max(abs(factor(t) - value) for t, value in enumerate(of_torch(sequence, 200))) <= 1e-12


@pytest.mark.parametrize(("t_0", "t_mult"), [(10, 1), (10, 2), (7, 3)])
@pytest.mark.parametrize("final", [0.0, 0.1])
def test_warm_restarts_equal_torch(of_torch: OfTorch, t_0: int, t_mult: int, final: float) -> None:
    factor = warm_restarts(300, t_0=t_0, t_mult=t_mult, final=final)
    expected = of_torch(lambda o: CosineAnnealingWarmRestarts(o, t_0, t_mult, final), 300)
    assert max(abs(factor(t) - value) for t, value in enumerate(expected)) <= 1e-12


@pytest.mark.parametrize("total", [3, 10, 100, 101, 1000, 9999])
def test_the_default_cycles_end_with_the_training(total: int) -> None:
    """Else the last steps would be taken at the full rate."""
    factor = warm_restarts(total)
    assert factor(total - 1) < factor(total - 2)
    assert sum(factor(t) == 1.0 for t in range(total)) == 2


def test_cycles_of_epochs() -> None:
    factor = warm_restarts(100, 10, t_0=2, t_mult=1, unit="epoch")
    assert [t for t in range(100) if factor(t) == 1.0] == [0, 20, 40, 60, 80]


def test_a_cycle_of_no_length_is_an_error() -> None:
    with pytest.raises(TrainingError, match="t_0"):
        warm_restarts(100, t_0=0)
