"""Falling along half a cosine wave: once, after a warm-up, or again and again."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

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


def cosine(
    total_steps: TotalSteps,
    steps_per_epoch: StepsPerEpoch = None,
    final: Share = 0.0,
    warmup: Span = 0,
    warmup_start: Share = 0.01,
    unit: Unit = "step",
) -> Schedule:
    """final + (1 - final) (1 + cos(pi t / T)) / 2, T being the end of training (Loshchilov and Hutter 2017).

    Args:
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps of one epoch.
        final: factor at the end.
        warmup: length of the rise at the beginning: steps, or a share of the training; the fall begins after it.
        warmup_start: factor of the first step of the warm-up.
        unit: what a whole number counts.

    >>> factor = cosine(total_steps=100)
    >>> factor(0), round(factor(50), 12), factor(100)
    (1.0, 0.5, 0.0)
    """
    steps = in_steps(warmup, total_steps, unit, steps_per_epoch)
    length = max(1, total_steps - steps)
    return with_warmup(lambda t: half_wave(min(t, length) / length, final), steps, warmup_start, total_steps)


def warmup_cosine(
    total_steps: TotalSteps,
    steps_per_epoch: StepsPerEpoch = None,
    warmup: Span = 0.05,
    warmup_start: Share = 0.01,
    final: Share = 0.0,
    unit: Unit = "step",
) -> Schedule:
    """A linear warm-up over a twentieth of the training, then `cosine`: what most transformers are trained with.

    Args:
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps of one epoch.
        warmup: length of the rise at the beginning: steps, or a share of the training.
        warmup_start: factor of the first step of the warm-up.
        final: factor at the end.
        unit: what a whole number counts.

    >>> factor = warmup_cosine(total_steps=100, warmup=10)
    >>> factor(0), factor(10), round(factor(55), 12), factor(100)
    (0.01, 1.0, 0.5, 0.0)
    """
    return cosine(total_steps, steps_per_epoch, final, warmup, warmup_start, unit)


def warm_restarts(
    total_steps: TotalSteps,
    steps_per_epoch: StepsPerEpoch = None,
    t_0: Span = 1 / 3,
    t_mult: Annotated[int, Field(ge=1)] = 2,
    final: Share = 0.0,
    warmup: Span = 0,
    warmup_start: Share = 0.01,
    unit: Unit = "step",
) -> Schedule:
    """Half a cosine wave, then up again at once, over cycles of growing length (Loshchilov and Hutter 2017, "SGDR").

    The defaults make two cycles, of one and of two thirds of the training. Choose cycles that end with the training:
    weights are best at the end of a cycle.

    Args:
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps of one epoch.
        t_0: length of the first cycle: steps, or a share of the training.
        t_mult: length of a cycle as a multiple of the one before.
        final: factor at the end of a cycle.
        warmup: length of the rise at the beginning: steps, or a share of the training; the cycles begin after it.
        warmup_start: factor of the first step of the warm-up.
        unit: what whole numbers count.

    Raises:
        TrainingError: t_0 is 0.

    >>> factor = warm_restarts(total_steps=300)
    >>> factor(0), round(factor(50), 12), factor(100), round(factor(200), 12)
    (1.0, 0.5, 1.0, 0.5)
    """
    first = in_steps(t_0, total_steps, unit, steps_per_epoch)
    if first == 0:
        raise TrainingError("train.schedule.t_0: a cycle of 0 steps")
    steps = in_steps(warmup, total_steps, unit, steps_per_epoch)

    def factor(t: int) -> float:
        length = first
        if t_mult == 1:
            t %= first
        while t >= length:
            t, length = t - length, length * t_mult
        return half_wave(t / length, final)

    return with_warmup(factor, steps, warmup_start, total_steps)


def half_wave(share: float, final: float) -> float:
    """From 1 at 0 to ``final`` at 1."""
    return final + (1 - final) * (1 + math.cos(math.pi * share)) / 2
