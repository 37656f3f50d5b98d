"""Several learning rates from one start: which diverges, which is good, which is too slow."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import nn

from lamplighter.train.lr_curve import smooth
from lamplighter.train.trial import trial

if TYPE_CHECKING:
    from lamplighter.train.trainer import Trainer

Verdict = Literal["diverged", "too high", "good", "too slow"]


@dataclass(frozen=True)
class Rate:
    """How one rate did.

    Attributes:
        lr: the rate.
        verdict: see `compare_rates`.
        losses: of each step, up to the divergence.
        gained: how far the loss is below that of the untrained network on the same batches, at the end.
        reason: a sentence.
    """

    lr: float
    verdict: Verdict
    losses: tuple[float, ...]
    gained: float
    reason: str


@dataclass(frozen=True)
class RateComparison:
    """All rates.

    Attributes:
        weights: hash of the weights that every rate began with.
        steps: that each was given.
        untrained: losses of the network at its start on the same batches.
        rates: in the order they were asked for.
    """

    weights: str
    steps: int
    untrained: tuple[float, ...]
    rates: tuple[Rate, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data; numbers that are not finite become None, which JSON has."""
        plain = asdict(self)
        for rate in plain["rates"]:
            rate["losses"] = [loss if math.isfinite(loss) else None for loss in rate["losses"]]
            rate["gained"] = rate["gained"] if math.isfinite(rate["gained"]) else None
        return plain


def compare_rates(trainer: Trainer, rates: Sequence[float], steps: int = 100) -> RateComparison:
    """Train with each rate for some steps, from the same weights, on the same batches. Leaves no trace.

    Each rate is held against the loss that the untrained network has on the very same batches, so that what it gained
    is not blurred by the choice of rows:

    * ``diverged``: the loss is not finite, or four times that of the untrained network; the run ends there
    * ``good``: gains at least half of what the best of the rates gains
    * ``too high``: gains less, at a rate above the best one
    * ``too slow``: gains less, at a rate below it; or gains less than 1% of the loss

    Args:
        trainer: as it would train; stands afterwards where it stood.
        rates: learning rates as the recipe's ``lr``; each group of parameters keeps its factor.
        steps: optimizer steps for each.
    """
    weights = weights_hash(trainer.task)
    untrained = _losses(trainer, 0.0, steps, None)
    runs = [(rate, _losses(trainer, rate, steps, untrained)) for rate in rates]
    tail = max(1, steps // 10)
    base = float(np.mean(untrained[-tail:]))
    gains = {rate: _gain(losses, untrained, tail) for rate, losses in runs}
    best = max((rate for rate in gains if math.isfinite(gains[rate])), key=lambda rate: gains[rate], default=None)
    judged = [_judged(rate, losses, gains, best, base, steps) for rate, losses in runs]
    return RateComparison(weights, steps, tuple(untrained), tuple(judged))


def weights_hash(module: nn.Module) -> str:
    """The first 12 digits of the SHA-256 of all parameters and buffers.

    >>> weights_hash(nn.Linear(2, 1)) == weights_hash(nn.Linear(2, 1))
    False
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def _losses(trainer: Trainer, rate: float, steps: int, untrained: list[float] | None) -> list[float]:
    losses: list[float] = []
    with trial(trainer) as step:
        for _ in range(steps):
            losses.append(step(rate))
            if untrained is not None and _diverged(losses, untrained):
                break
    return losses


def _diverged(losses: list[float], untrained: list[float]) -> bool:
    now, start = float(smooth(losses)[-1]), float(smooth(untrained[: len(losses)])[-1])
    return not math.isfinite(now) or now > start + 3 * abs(start)


def _gain(losses: list[float], untrained: list[float], tail: int) -> float:
    if len(losses) < len(untrained) or _diverged(losses, untrained):
        return -math.inf
    return float(np.mean(untrained[-tail:]) - np.mean(losses[-tail:]))


def _judged(
    rate: float, losses: list[float], gains: dict[float, float], best: float | None, base: float, steps: int
) -> Rate:
    gained = gains[rate]
    if not math.isfinite(gained):
        return Rate(rate, "diverged", tuple(losses), gained, f"diverged after {len(losses)} of {steps} steps")
    assert best is not None
    verdict: Verdict = "good"
    if gains[best] < 0.01 * abs(base) or (gained < 0.5 * gains[best] and rate < best):
        verdict = "too slow"
    elif gained < 0.5 * gains[best]:
        verdict = "too high"
    words = f"the loss ends {abs(gained):.3g} {'below' if gained >= 0 else 'above'} that of the untrained network"
    beside = f"; the best of these rates, {best:g}, gains {gains[best]:.3g}" if rate != best else ""
    return Rate(rate, verdict, tuple(losses), gained, words + beside)
