"""Warm-up, stable, decay against a sequence of torch's schedulers, and against its formula."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from lamplighter.core.errors import TrainingError
from lamplighter.optim.schedules.wsd import wsd

OfTorch = Callable[..., list[float]]


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step()`:UserWarning")  # torch's own call
@pytest.mark.parametrize("shape", ["linear", "cosine"])
@pytest.mark.parametrize("final", [0.0, 0.1])
def test_wsd_equals_torchs_sequence(of_torch: OfTorch, final: float, shape: str) -> None:
    def sequence(o: torch.optim.Optimizer) -> LRScheduler:
        rise, flat = LinearLR(o, 0.01, 1.0, 20), ConstantLR(o, 1.0)
        fall: LRScheduler = LinearLR(o, 1.0, final, 50) if shape == "linear" else CosineAnnealingLR(o, 50, final)
        return SequentialLR(o, [rise, flat, fall], [20, 150])

    factor = wsd(200, warmup=0.1, decay=50, shape=shape, final=final)  # type: ignore[arg-type]
    assert max(abs(factor(t) - value) for t, value in enumerate(of_torch(sequence, 200))) <= 1e-12


def test_the_default_fall_is_one_minus_the_root() -> None:
    factor = wsd(1000)
    assert factor(0) == 0.01
    assert {factor(t) for t in range(10, 801)} == {1.0}
    assert [factor(800 + t) for t in range(201)] == pytest.approx([1 - math.sqrt(t / 200) for t in range(201)])
    assert factor(1000) == factor(2000) == 0


def test_a_longer_training_begins_alike() -> None:
    short, long = wsd(1000, warmup=20, decay=100), wsd(5000, warmup=20, decay=100)
    assert [short(t) for t in range(900)] == [long(t) for t in range(900)]


def test_rounded_shares_fit_into_a_short_training() -> None:
    assert wsd(7, warmup=0.5, decay=0.5)(6) > 0
    assert wsd(1)(0) > 0


@pytest.mark.parametrize(("warmup", "decay"), [(60, 50), (0.6, 0.6), (0.5, 60), (101, 0)])
def test_parts_that_do_not_fit_are_an_error(warmup: int | float, decay: int | float) -> None:
    with pytest.raises(TrainingError, match="do not fit into 100 steps"):
        wsd(100, warmup=warmup, decay=decay)
