"""What a schedule is, and how its settings count steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from lamplighter.core.errors import TrainingError
from lamplighter.core.registry import FromData


class Schedule(Protocol):
    """From the number of optimizer steps done to a factor, 0 to 1, of the base learning rate.

    Asked once for each optimizer step, before it. The answer depends on the step alone, whatever was asked before, so
    nothing has to be saved for a resume. A schedule that follows the validation metric is an `ObservingSchedule`.
    """

    def __call__(self, step: int, /) -> float: ...


@runtime_checkable
class ObservingSchedule(Protocol):
    """A schedule that is told the monitored metric after every validation; its state belongs into checkpoints."""

    def __call__(self, step: int, /) -> float: ...

    def observe(self, value: float, mode: Literal["min", "max"]) -> None:
        """Take note of the metric; ``mode`` says whether small or large is good."""

    def state_dict(self) -> dict[str, Any]:
        """Numbers and None: what a resumed training has to know."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""


def _one_message(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """One sentence instead of one for each member of the union."""
    try:
        return check(value)
    except ValidationError:
        raise ValueError("must be a whole number (of steps or epochs) or a share of the training like 0.3") from None


Span = Annotated[
    Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, le=1)],
    WrapValidator(_one_message),
]
"""A stretch of training: a whole number counts steps (or epochs, see `Unit`), a fraction is a share of all steps."""

Unit = Literal["step", "epoch"]
"""What whole numbers count."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A factor of the base rate."""

TotalSteps = Annotated[int, FromData]
"""Optimizer steps of the whole training; filled in by the run."""

StepsPerEpoch = Annotated[int | None, FromData]
"""Optimizer steps of one epoch; None for a stream that has no end."""


def in_steps(span: int | float, total_steps: int, unit: Unit = "step", steps_per_epoch: int | None = None) -> int:
    """Length of a stretch in steps; shares are rounded up.

    Raises:
        TrainingError: epochs are counted, but there are none.

    >>> in_steps(0.25, 1000), in_steps(30, 1000), in_steps(3, 1000, "epoch", 50)
    (250, 30, 150)
    """
    if isinstance(span, float):
        return math.ceil(span * total_steps - 1e-9)
    if unit == "step":
        return span
    if steps_per_epoch is None:
        raise TrainingError("train.schedule: unit 'epoch' needs data with a known number of rows; use unit: step")
    return span * steps_per_epoch


def with_warmup(
    after: Callable[[int], float], warmup_steps: int, start: float, total_steps: int
) -> Callable[[int], float]:
    """A straight line from ``start`` to 1 over the first steps, then ``after``, which counts from the line's end.

    Args:
        after: the schedule that follows.
        warmup_steps: steps of the line.
        start: factor of the first step.
        total_steps: of the whole training.

    Raises:
        TrainingError: the line is longer than the training.

    >>> factor = with_warmup(lambda step: 1.0, 4, 0.2, 10)
    >>> [round(factor(step), 2) for step in range(6)]
    [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    """
    if warmup_steps > total_steps:
        raise TrainingError(
            f"train.schedule: a warm-up of {warmup_steps} steps does not fit into {total_steps} steps of training"
        )
    if warmup_steps == 0:
        return after

    def factor(step: int) -> float:
        return start + (1 - start) * step / warmup_steps if step < warmup_steps else after(step - warmup_steps)

    return factor
