"""Up and down in straight lines, again and again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lamplighter.core.errors import TrainingError
from lamplighter.optim.schedules.base import Schedule, Share, Span, StepsPerEpoch, TotalSteps, Unit, in_steps


def cyclic(
    total_steps: TotalSteps,
    steps_per_epoch: StepsPerEpoch = None,
    base: Share = 0.1,
    step_size_up: Span = 0.125,
    step_size_down: Span | None = None,
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.9999,
    unit: Unit = "step",
) -> Schedule:
    """Between base and 1 in triangles (Smith 2017, "Cyclical Learning Rates"): base + (1 - base) triangle(t) s.

    s is 1 for triangular, halved with every cycle for triangular2, and gamma ^ t for exp_range. The defaults make four
    cycles.

    Args:
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps of one epoch.
        base: factor at the foot of a triangle.
        step_size_up: length of the rise: steps, or a share of the training.
        step_size_down: length of the fall; null: as long as the rise.
        mode: whether, and how, the triangles become lower.
        gamma: what is left of their height after each step; for exp_range.
        unit: what a whole number counts.

    Raises:
        TrainingError: rise or fall take no step.

    >>> factor = cyclic(total_steps=400)
    >>> round(factor(0), 12), round(factor(25), 12), factor(50), round(factor(100), 12)
    (0.1, 0.55, 1.0, 0.1)
    """
    up = in_steps(step_size_up, total_steps, unit, steps_per_epoch)
    down = up if step_size_down is None else in_steps(step_size_down, total_steps, unit, steps_per_epoch)
    if up == 0 or down == 0:
        raise TrainingError("train.schedule: step_size_up and step_size_down must be at least one step")

    def factor(t: int) -> float:
        cycle, within = divmod(t, up + down)
        height = within / up if within <= up else (up + down - within) / down
        scale = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": gamma**t}[mode]
        return base + (1 - base) * height * scale

    return factor
