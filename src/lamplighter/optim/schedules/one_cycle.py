"""One cycle: up to a rate that is almost too large, and all the way down."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from lamplighter.optim.schedules.base import Schedule, TotalSteps


def one_cycle(
    total_steps: TotalSteps,
    warmup_fraction: Annotated[float, Field(ge=0, le=1)] = 0.3,
    div: Annotated[float, Field(ge=1)] = 25.0,
    final_div: Annotated[float, Field(ge=1)] = 1e4,
    anneal: Literal["cos", "linear"] = "cos",
) -> Schedule:
    """Up from lr / div to lr, then down to lr / (div * final_div) (Smith and Topin 2018, "Super-Convergence").

    Args:
        total_steps: optimizer steps of the whole training.
        warmup_fraction: share of the steps that go up.
        div: the first rate is lr / div.
        final_div: the last rate is the first one / final_div.
        anneal: shape of both slopes: half a cosine wave or a straight line.

    >>> factor = one_cycle(total_steps=100)
    >>> round(factor(0), 4), round(factor(29), 4), round(factor(99), 10)
    (0.04, 1.0, 4e-06)
    """
    first, last = 1 / div, 1 / (div * final_div)
    peak_at, end_at = warmup_fraction * total_steps - 1, total_steps - 1
    interpolate = _cosine if anneal == "cos" else _line

    def factor(step: int) -> float:
        step = min(step, end_at)
        if step < peak_at:
            return interpolate(first, 1.0, step / peak_at)
        return interpolate(1.0, last, (step - peak_at) / (end_at - peak_at)) if end_at > peak_at else 1.0

    return factor


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def _line(start: float, end: float, share: float) -> float:
    return start + (end - start) * share
