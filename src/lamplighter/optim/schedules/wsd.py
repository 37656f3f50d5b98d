"""Warm-up, stable, decay: the same rate for most of the training, then a short fall."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from lamplighter.core.errors import TrainingError
from lamplighter.optim.schedules.base import (
    Schedule,
    Share,
    Span,
    StepsPerEpoch,
    TotalSteps,
    Unit,
    in_steps,
    with_warmup,
)

_SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda share: 1 - share,
    "cosine": lambda share: (1 + math.cos(math.pi * share)) / 2,
    "sqrt": lambda share: 1 - math.sqrt(share),
}


def wsd(
    total_steps: TotalSteps,
    steps_per_epoch: StepsPerEpoch = None,
    warmup: Span = 0.01,
    warmup_start: Share = 0.01,
    decay: Span = 0.2,
    shape: Literal["linear", "cosine", "sqrt"] = "sqrt",
    final: Share = 0.0,
    unit: Unit = "step",
) -> Schedule:
    """Warm-up, stable, decay (Hu et al. 2024, "MiniCPM"; Haegele et al. 2024 for the shape 1 - sqrt).

    Up to the decay the rate does not depend on the length of the training, so a training can be made longer: take up a
    checkpoint from before the decay.

    Args:
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps of one epoch.
        warmup: length of the linear rise at the beginning: steps, or a share of the training.
        warmup_start: factor of the first step of the warm-up.
        decay: length of the fall at the end: steps, or a share of the training.
        shape: of the fall: a straight line, half a cosine wave, or 1 - sqrt.
        final: factor at the end.
        unit: what a whole number counts.

    Raises:
        TrainingError: warm-up and decay together are longer than the training.

    >>> factor = wsd(total_steps=100, warmup=10, shape="linear")
    >>> factor(0), factor(10), factor(80), factor(90), factor(100)
    (0.01, 1.0, 1.0, 0.5, 0.0)
    """
    up = in_steps(warmup, total_steps, unit, steps_per_epoch)
    down = in_steps(decay, total_steps, unit, steps_per_epoch)
    if isinstance(decay, float) and isinstance(warmup, float) and warmup + decay <= 1:
        down = min(down, total_steps - up)  # both were rounded up
    if up + down > total_steps:
        raise TrainingError(
            f"train.schedule: a warm-up of {up} steps and a decay of {down} do not fit into {total_steps} steps of "
            "training"
        )
    begin = total_steps - up - down

    def factor(t: int) -> float:
        share = (min(t, begin + down) - begin) / down if down and t > begin else 0.0
        return final + (1 - final) * _SHAPES[shape](share)

    return with_warmup(factor, up, warmup_start, total_steps)
