"""Falling learning rates: in steps, at given moments, exponentially, as a polynomial."""

from __future__ import annotations

import bisect
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

Gamma = Annotated[float, Field(gt=0, le=1)]


def step(
    total_steps: TotalSteps,
    steps_per_epoch: StepsPerEpoch = None,
    step_size: Span = 0.3,
    gamma: Gamma = 0.1,
    warmup: Span = 0,
    warmup_start: Share = 0.01,
    unit: Unit = "step",
) -> Schedule:
    """Multiplied by gamma every so often: gamma ^ floor(t / step_size).

    Args:
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps of one epoch.
        step_size: from one fall to the next: steps, or a share of the training.
        gamma: what is left after a fall.
        warmup: length of the rise at the beginning: steps, or a share of the training; the rest begins after it.
        warmup_start: factor of the first step of the warm-up.
        unit: what whole numbers count.

    Raises:
        TrainingError: step_size is 0.

    >>> factor = step(total_steps=100, step_size=30)
    >>> factor(29), factor(30), round(factor(60), 12)
    (1.0, 0.1, 0.01)
    """
    size = in_steps(step_size, total_steps, unit, steps_per_epoch)
    if size == 0:
        raise TrainingError("train.schedule.step_size: 0 steps; the rate would fall for ever at once")
    steps = in_steps(warmup, total_steps, unit, steps_per_epoch)
    return with_warmup(lambda t: gamma ** (t // size), steps, warmup_start, total_steps)


def multi_step(
    total_steps: TotalSteps,
    steps_per_epoch: StepsPerEpoch = None,
    milestones: tuple[Span, ...] = (0.5, 0.75),
    gamma: Gamma = 0.1,
    warmup: Span = 0,
    warmup_start: Share = 0.01,
    unit: Unit = "step",
) -> Schedule:
    """Multiplied by gamma at each milestone.

    Args:
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps of one epoch.
        milestones: when: steps, or shares of the training; counted from the end of the warm-up.
        gamma: what is left after each.
        warmup: length of the rise at the beginning: steps, or a share of the training.
        warmup_start: factor of the first step of the warm-up.
        unit: what whole numbers count.

    >>> factor = multi_step(total_steps=100)
    >>> factor(49), factor(50), round(factor(75), 12)
    (1.0, 0.1, 0.01)
    """
    at = sorted(in_steps(span, total_steps, unit, steps_per_epoch) for span in milestones)
    steps = in_steps(warmup, total_steps, unit, steps_per_epoch)
    return with_warmup(lambda t: gamma ** bisect.bisect_right(at, t), steps, warmup_start, total_steps)


def exponential(
    total_steps: TotalSteps,
    steps_per_epoch: StepsPerEpoch = None,
    gamma: Gamma | None = None,
    final: Annotated[float, Field(gt=0, le=1)] = 0.01,
    warmup: Span = 0,
    warmup_start: Share = 0.01,
    unit: Unit = "step",
) -> Schedule:
    """Multiplied by gamma again and again: gamma ^ t.

    Args:
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps of one epoch.
        gamma: what is left after each step (or epoch, see unit); null: so that ``final`` is left at the end.
        final: factor at the end of training when gamma is null.
        warmup: length of the rise at the beginning: steps, or a share of the training; the fall begins after it.
        warmup_start: factor of the first step of the warm-up.
        unit: how often gamma multiplies, and what a whole number counts.

    >>> factor = exponential(total_steps=100)
    >>> factor(0), round(factor(50), 12), round(factor(100), 12)
    (1.0, 0.1, 0.01)
    """
    steps = in_steps(warmup, total_steps, unit, steps_per_epoch)
    every = in_steps(1, total_steps, unit, steps_per_epoch)
    times = max(1, total_steps - steps) / every
    base = final ** (1 / times) if gamma is None else gamma
    return with_warmup(lambda t: base ** (t // every), steps, warmup_start, total_steps)


def polynomial(
    total_steps: TotalSteps,
    steps_per_epoch: StepsPerEpoch = None,
    power: Annotated[float, Field(gt=0)] = 1.0,
    final: Share = 0.0,
    warmup: Span = 0,
    warmup_start: Share = 0.01,
    unit: Unit = "step",
) -> Schedule:
    """Down to ``final`` at the end of training: final + (1 - final) (1 - t / T) ^ power; power 1 is a straight line.

    Args:
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps of one epoch.
        power: 1 falls evenly, 2 quickly at first.
        final: factor at the end.
        warmup: length of the rise at the beginning: steps, or a share of the training; the fall begins after it.
        warmup_start: factor of the first step of the warm-up.
        unit: what a whole number counts.

    >>> factor = polynomial(total_steps=100, power=2)
    >>> factor(0), factor(50), factor(100)
    (1.0, 0.25, 0.0)
    """
    steps = in_steps(warmup, total_steps, unit, steps_per_epoch)
    length = max(1, total_steps - steps)
    return with_warmup(
        lambda t: final + (1 - final) * (1 - min(t, length) / length) ** power, steps, warmup_start, total_steps
    )
