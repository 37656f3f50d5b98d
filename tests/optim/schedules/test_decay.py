"""Falling schedules against torch's, value by value, with and without a linear warm-up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.optim.lr_scheduler import (
    ConstantLR,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    PolynomialLR,
    SequentialLR,
    StepLR,
)

from lamplighter.core.errors import TrainingError
from lamplighter.optim.schedules.base import Schedule
from lamplighter.optim.schedules.constant import constant
from lamplighter.optim.schedules.decay import exponential, multi_step, polynomial, step

TOTAL = 120
OfTorch = Callable[..., list[float]]
CASES: dict[str, tuple[Callable[..., Schedule], Callable[[torch.optim.Optimizer, int], LRScheduler]]] = {
    "constant": (constant, lambda o, total: ConstantLR(o, 1.0)),
    "step": (lambda *a, **k: step(*a, step_size=25, gamma=0.3, **k), lambda o, total: StepLR(o, 25, 0.3)),
    "multi-step": (
        lambda *a, **k: multi_step(*a, milestones=(70, 20, 20), gamma=0.5, **k),
        lambda o, total: MultiStepLR(o, [70, 20, 20], 0.5),
    ),
    "exponential": (lambda *a, **k: exponential(*a, gamma=0.97, **k), lambda o, total: ExponentialLR(o, 0.97)),
    "linear": (polynomial, lambda o, total: PolynomialLR(o, total)),
    "polynomial": (lambda *a, **k: polynomial(*a, power=2.5, **k), lambda o, total: PolynomialLR(o, total, 2.5)),
    "linear to a tenth": (
        lambda *a, **k: polynomial(*a, final=0.1, **k),
        lambda o, total: LinearLR(o, 1.0, 0.1, total),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(of_torch: OfTorch, name: str) -> None:
    ours, theirs = CASES[name]
    factor = ours(TOTAL)
    expected = of_torch(lambda o: theirs(o, TOTAL), TOTAL)
    assert max(abs(factor(t) - value) for t, value in enumerate(expected)) <= 1e-12


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step()`:UserWarning")  # torch's own call
@pytest.mark.parametrize(("warmup", "steps", "start"), [(15, 15, 0.01), (0.125, 15, 0.25)])
@pytest.mark.parametrize("name", CASES)
def test_with_a_warmup_equals_torchs_sequence(
    of_torch: OfTorch, name: str, warmup: int | float, steps: int, start: float
) -> None:
    ours, theirs = CASES[name]
    factor = ours(TOTAL, warmup=warmup, warmup_start=start)

    def sequence(o: torch.optim.Optimizer) -> LRScheduler:
        rise = LinearLR(o, start, 1.0, steps)
        return SequentialLR(o, [rise, theirs(o, TOTAL - steps)], [steps])

    expected = of_torch(sequence, TOTAL)
    assert max(abs(factor(t) - value) for t, value in enumerate(expected)) <= 1e-12


def test_epochs_count_as_torchs_schedulers_stepped_once_an_epoch(of_torch: OfTorch) -> None:
    per_epoch = 8
    pairs: list[tuple[Schedule, Callable[[torch.optim.Optimizer], LRScheduler]]] = [
        (step(TOTAL, per_epoch, step_size=4, unit="epoch"), lambda o: StepLR(o, 4, 0.1)),
        (multi_step(TOTAL, per_epoch, milestones=(3, 9), unit="epoch"), lambda o: MultiStepLR(o, [3, 9], 0.1)),
        (exponential(TOTAL, per_epoch, gamma=0.8, unit="epoch"), lambda o: ExponentialLR(o, 0.8)),
    ]
    for factor, theirs in pairs:
        expected = of_torch(theirs, TOTAL, every=per_epoch)
        assert max(abs(factor(t) - value) for t, value in enumerate(expected)) <= 1e-12


def test_shares_of_the_training() -> None:
    factor = step(1000)  # a fall after each 30%
    assert [factor(t) for t in (299, 300, 599, 600, 899, 900)] == pytest.approx([1, 0.1, 0.1, 0.01, 0.01, 0.001])
    factor = multi_step(1000)
    assert [factor(t) for t in (499, 500, 749, 750)] == pytest.approx([1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize("unit", ["step", "epoch"])
def test_an_exponential_without_gamma_ends_where_it_is_told(unit: str) -> None:
    factor = exponential(TOTAL, 8, final=0.05, unit=unit)  # type: ignore[arg-type]
    assert factor(0) == 1
    assert factor(TOTAL) == pytest.approx(0.05, rel=1e-12)


def test_a_step_of_no_length_is_an_error() -> None:
    with pytest.raises(TrainingError, match="step_size"):
        step(TOTAL, step_size=0)
