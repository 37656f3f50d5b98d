"""The same learning rate all the time."""

from __future__ import annotations

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


def constant(
    total_steps: TotalSteps,
    steps_per_epoch: StepsPerEpoch = None,
    warmup: Span = 0,
    warmup_start: Share = 0.01,
    unit: Unit = "step",
) -> Schedule:
    """The same learning rate all the time, after a linear warm-up if one is asked for.

    Args:
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps of one epoch.
        warmup: length of the rise at the beginning: steps, or a share of the training.
        warmup_start: factor of the first step of the warm-up.
        unit: what a whole number counts.

    >>> constant(total_steps=10)(7)
    1.0
    """
    steps = in_steps(warmup, total_steps, unit, steps_per_epoch)
    return with_warmup(lambda _step: 1.0, steps, warmup_start, total_steps)
