"""Triangles against torch's, value by value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
from torch.optim.lr_scheduler import CyclicLR

from lamplighter.core.errors import TrainingError
from lamplighter.optim.schedules.cyclic import cyclic


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
@pytest.mark.parametrize(("up", "down"), [(20, None), (10, 30), (1, 1)])
@pytest.mark.parametrize("base", [0.0, 0.1])
def test_cyclic_equals_torch(
    of_torch: Callable[..., list[float]],
    base: float,
    up: int,
    down: int | None,
    mode: Literal["triangular", "triangular2", "exp_range"],
) -> None:
    factor = cyclic(200, None, base, up, down, mode, 0.98)
    expected = of_torch(
        lambda o: CyclicLR(o, base, 1.0, up, down, mode, 0.98 if mode == "exp_range" else 1.0, cycle_momentum=False),
        200,
    )
    assert max(abs(factor(t) - value) for t, value in enumerate(expected)) <= 1e-12


def test_four_cycles_by_default() -> None:
    factor = cyclic(400)
    assert [t for t in range(400) if factor(t) == 1.0] == [50, 150, 250, 350]


def test_no_length_is_an_error() -> None:
    with pytest.raises(TrainingError, match="step_size_up"):
        cyclic(100, step_size_up=0)
