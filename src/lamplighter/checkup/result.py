"""What an examination found: single checks with a verdict, and the measurements behind them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lamplighter.train.diagnostics.association import Association
from lamplighter.train.diagnostics.dead_units import DeadUnits
from lamplighter.train.diagnostics.gradient_flow import GradientFlow
from lamplighter.train.diagnostics.one_batch import OneBatch
from lamplighter.train.diagnostics.rates import RateComparison
from lamplighter.train.lr_curve import LRCurve

Level = Literal["ok", "look", "wrong"]


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    Attributes:
        name: what was looked at.
        level: ``ok``; ``look``: worth a look, training may still go well; ``wrong``: it will not, or its scores lie.
        text: the answer, one or two sentences.
    """

    name: str
    level: Level
    text: str


@dataclass(frozen=True)
class Cost:
    """What the training will take on this machine, from a few steps of it.

    Attributes:
        step_seconds: of one optimizer step (median).
        epoch_seconds: of all steps of an epoch and the validation after it.
        epochs: planned.
        weight_bytes: parameters and buffers.
        optimizer_bytes: what the optimizers remember of them.
        peak_bytes: the most that this process (on a GPU: its tensors) had at once during the examination.
    """

    step_seconds: float
    epoch_seconds: float
    epochs: int
    weight_bytes: int
    optimizer_bytes: int
    peak_bytes: int

    @property
    def total_seconds(self) -> float:
        """Of the whole training, without what is measured before and judged after it."""
        return self.epochs * self.epoch_seconds


@dataclass(frozen=True)
class Checkup:
    """Everything that was found.

    Attributes:
        recipe: as it would be trained, every decision written out (``lr: auto`` stays).
        checks: verdicts in the order of the examination.
        data: counts and the like, for the page.
        model: the same of the network.
        schedule: the learning rate of each step, and a sentence about it.
        curve: of the learning-rate range test.
        flow: gradients of each layer.
        dead: units without slope.
        one_batch: learning a batch by heart.
        association: learning something that holds for other rows; None for tasks without targets, or when it failed.
        rates: comparison of the rates that were asked for.
        cost: time and memory.
    """

    recipe: dict[str, Any]
    checks: tuple[Check, ...]
    data: dict[str, Any]
    model: dict[str, Any]
    schedule: tuple[tuple[float, ...], str]
    curve: LRCurve
    flow: GradientFlow
    dead: tuple[DeadUnits, ...]
    one_batch: OneBatch
    association: Association | None
    rates: RateComparison | None
    cost: Cost

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; some things may be worth a look."""
        return all(check.level != "wrong" for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``; numbers that are not finite become None, which JSON has."""
        plain = {
            "ok": self.ok,
            "checks": [asdict(check) for check in self.checks],
            "data": self.data,
            "model": self.model,
            "schedule": self.schedule[1],
            "learning_rate": self.curve.to_dict(),
            "gradient_flow": self.flow.to_dict(),
            "dead_units": [each.to_dict() for each in self.dead],
            "one_batch": self.one_batch.to_dict(),
            "association": self.association.to_dict() if self.association else None,
            "rates": self.rates.to_dict() if self.rates else None,
            "cost": {**asdict(self.cost), "total_seconds": self.cost.total_seconds},
            "recipe": self.recipe,
        }
        return {key: _finite(value) for key, value in plain.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
