"""Down when the validation metric no longer improves."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field

from lamplighter.optim.schedules.base import Share, Span, StepsPerEpoch, TotalSteps, Unit, in_steps, with_warmup


class Plateau:
    """Multiplied by ``factor`` whenever ``patience`` validations in a row, and one more, were no better than the best.

    The metric is the run's ``train.monitor``. NaN and infinity are never better. A value v is better than the best b if

        v < b - d   (mode min)        v > b + d   (mode max)        d = threshold |b|, or threshold when absolute

    Args:
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps of one epoch.
        factor: what is left of the rate after a fall.
        patience: validations without improvement that are waited for.
        threshold: smallest change that counts as an improvement.
        threshold_mode: whether that is a share of the best value or a number.
        cooldown: validations after a fall that do not count as waiting.
        final: the factor never falls below this.
        warmup: length of the linear rise at the beginning: steps, or a share of the training.
        warmup_start: factor of the first step of the warm-up.
        unit: what a whole number counts.

    >>> schedule = Plateau(total_steps=100, patience=1)
    >>> for loss in (1.0, 1.0, 1.0):
    ...     schedule.observe(loss, "min")
    >>> schedule(30)
    0.1
    """

    def __init__(
        self,
        total_steps: TotalSteps,
        steps_per_epoch: StepsPerEpoch = None,
        factor: Annotated[float, Field(gt=0, lt=1)] = 0.1,
        patience: Annotated[int, Field(ge=0)] = 10,
        threshold: Annotated[float, Field(ge=0)] = 1e-4,
        threshold_mode: Literal["relative", "absolute"] = "relative",
        cooldown: Annotated[int, Field(ge=0)] = 0,
        final: Share = 0.0,
        warmup: Span = 0,
        warmup_start: Share = 0.01,
        unit: Unit = "step",
    ) -> None:
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.relative = threshold_mode == "relative"
        self.cooldown = cooldown
        self.final = final
        steps = in_steps(warmup, total_steps, unit, steps_per_epoch)
        self.warmup = with_warmup(lambda _step: 1.0, steps, warmup_start, total_steps)
        self.current = 1.0
        self.best: float | None = None
        self.waited = 0
        self.cooling = 0

    def __call__(self, step: int, /) -> float:
        """Factor of the base rate, as far as is known now."""
        return self.warmup(step) * self.current

    def observe(self, value: float, mode: Literal["min", "max"]) -> None:
        """Take note of the metric of a validation.

        Args:
            value: the metric.
            mode: whether small or large is good.
        """
        if self._better(value, mode):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        if self.cooling > 0:
            self.cooling -= 1
            self.waited = 0
        if self.waited > self.patience:
            self.current = max(self.current * self.factor, self.final)
            self.cooling, self.waited = self.cooldown, 0

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training has to know."""
        return {"current": self.current, "best": self.best, "waited": self.waited, "cooling": self.cooling}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.current, self.best = state["current"], state["best"]
        self.waited, self.cooling = state["waited"], state["cooling"]

    def _better(self, value: float, mode: str) -> bool:
        if not math.isfinite(value):
            return False
        if self.best is None:
            return True
        delta = self.threshold * abs(self.best) if self.relative else self.threshold
        return value < self.best - delta if mode == "min" else value > self.best + delta
