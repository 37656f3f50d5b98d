"""What a learning-rate range test saw, and the rates that can be read off it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

Rule = Literal["steep", "min/10", "valley"]

SMOOTHING = 0.9
"""Weight of the past in the running mean of the losses."""
ALPHA = 0.05
"""Largest `chance_of_fall` that counts as a fall. Curves without one pass in less than 1% of cases, measured."""
START = 10
"""Steps at the beginning of the sweep at whose rates nothing is learned yet: the level that the loss falls from."""
_WIDTH = 3
_PERMUTATIONS = 1999


@dataclass(frozen=True)
class LRCurve:
    """Losses of a training whose learning rate rises from step to step.

    Attributes:
        lrs: the rate of each step, until the end or the divergence.
        losses: finite, one for each rate; a mean where several sweeps were needed.
        smoothed: their running mean, see `smooth`.
        suggestions: rule -> rate; empty when the curve says nothing.
        rule: the one that chooses.
        chosen: its rate to two digits, what ``lr: auto`` takes; None when the curve says nothing.
        reason: how it was chosen, or why nothing was; a sentence.
        ended: why the (last) sweep stopped.
        sweeps: how many were averaged.
    """

    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestions: dict[str, float]
    rule: Rule
    chosen: float | None
    reason: str
    ended: str
    sweeps: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def sweep(min_lr: float, max_lr: float, steps: int) -> list[float]:
    """Rates with equal ratios, the first and the last exactly as given.

    >>> [f"{lr:.4g}" for lr in sweep(1e-4, 1.0, 5)]
    ['0.0001', '0.001', '0.01', '0.1', '1']
    """
    inner = [min_lr * (max_lr / min_lr) ** (i / (steps - 1)) for i in range(1, steps - 1)]
    return [min_lr, *inner, max_lr]


def smooth(losses: Sequence[float], beta: float = SMOOTHING) -> np.ndarray:
    """Running mean with bias correction: m <- beta m + (1 - beta) loss; smoothed = m / (1 - beta^t).

    Without the division the first values would be pulled towards 0 (Kingma and Ba 2015, section 3).

    >>> smooth([2.0, 2.0, 5.0], beta=0.5).round(3).tolist()
    [2.0, 2.0, 3.714]
    """
    mean, smoothed = 0.0, []
    for t, loss in enumerate(losses, start=1):
        mean = beta * mean + (1 - beta) * loss
        smoothed.append(mean / (1 - beta**t))
    return np.array(smoothed)


def diverged(smoothed: float, best: float, first: float, factor: float = 4.0) -> bool:
    """Whether the loss has left for good: it is not finite, or ``factor`` times its best.

    A best loss of 0 or less (a log-likelihood) has no such multiples; there the way it has come counts instead.

    >>> diverged(4.1, best=1.0, first=2.0), diverged(3.9, best=1.0, first=2.0), diverged(2.0, best=-5.0, first=1.0)
    (True, False, False)
    """
    if not math.isfinite(smoothed):
        return True
    scale = best if best > 0 else max(abs(best), first - best)
    return smoothed > best + (factor - 1) * scale


def steep(lrs: Sequence[float], smoothed: np.ndarray) -> float:
    """The rate where the smoothed loss falls fastest over log(lr), on its `way_down`.

    The slope is taken from three steps before to three after, so that single batches do not decide. Over log(lr)
    because the sweep takes even steps there: over lr itself the slope is divided by steps that grow a millionfold, so
    it is steepest at the very beginning, whatever the curve (rates 1,000 times too small, measured).
    """
    begin, lowest = way_down(smoothed)
    last = len(smoothed) - 1
    fall = [smoothed[max(0, i - _WIDTH)] - smoothed[min(last, i + _WIDTH)] for i in range(begin, lowest + 1)]
    return float(lrs[begin + int(np.argmax(fall))])


def tenth_of_minimum(lrs: Sequence[float], smoothed: np.ndarray) -> float:
    """A tenth of the rate where the smoothed loss is lowest: there it is about to turn."""
    return float(lrs[way_down(smoothed)[1]]) / 10


def valley(lrs: Sequence[float], smoothed: np.ndarray) -> float:
    """The middle of the `way_down` in log(lr): sqrt(lr1 lr2), where 25% and where 75% of the fall are done.

    >>> round(valley([1e-4, 1e-3, 1e-2, 1e-1, 1.0], np.array([2.0, 2.0, 1.5, 1.0, 3.0])), 4)
    0.01
    """
    begin, lowest = way_down(smoothed)
    top = _level(smoothed)
    done = begin + int(np.argmax(smoothed[begin : lowest + 1] <= top - 0.75 * (top - smoothed[lowest])))
    return math.sqrt(lrs[begin] * lrs[done])


RULES: dict[Rule, Callable[[Sequence[float], np.ndarray], float]] = {
    "steep": steep,
    "min/10": tenth_of_minimum,
    "valley": valley,
}


def way_down(smoothed: np.ndarray) -> tuple[int, int]:
    """The steps between which the curve falls: the last with less than a quarter of the fall done, and the lowest.

    Before it the curve only shows which rows happened to be in a batch, and its slopes there mean nothing.

    >>> way_down(np.array([2.0, 2.1, 1.9, 1.5, 1.0, 3.0]))
    (2, 4)
    """
    start = START if len(smoothed) > 2 * START else 0
    lowest = start + int(np.argmin(smoothed[start:]))
    top = _level(smoothed)
    above = np.flatnonzero(smoothed[: lowest + 1] >= top - 0.25 * (top - smoothed[lowest]))
    return (int(above[-1]) if above.size else 0), lowest


def chance_of_fall(losses: Sequence[float], seed: int = 0) -> float:
    """Chance that losses without a trend get as low as these do: a permutation test.

    The statistic is the lowest smoothed loss after the first `START` steps. If nothing is learned, every order of the
    losses is equally likely, so the share of random orders that get as low is a p-value, whatever the distribution of
    the noise. Only losses up to the lowest point take part: that the loss rises behind it, where the rate is too high,
    is no evidence that it had fallen before. (Choosing that point by the statistic makes the p-value larger, not
    smaller.)

    Args:
        losses: finite, in the order of the sweep.
        seed: of the random orders.

    >>> noise = np.random.default_rng(3).normal(1.0, 0.1, 60)
    >>> chance_of_fall(noise) > 0.5, chance_of_fall(noise - np.linspace(0, 0.3, 60)) < 0.01
    (True, True)
    """
    given = np.asarray(losses, dtype=np.float64)
    if len(given) <= START:
        return 1.0
    smoothed = smooth(given.tolist())[START:]
    given = given[: START + int(np.argmin(smoothed)) + 1]
    if np.ptp(given) == 0:
        return 1.0
    orders = np.random.default_rng(seed).permuted(np.tile(given, (_PERMUTATIONS, 1)), axis=1)
    mean, lowest = np.zeros(_PERMUTATIONS), np.full(_PERMUTATIONS, np.inf)
    for t in range(len(given)):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * orders[:, t]
        if t >= START:
            lowest = np.minimum(lowest, mean / (1 - SMOOTHING ** (t + 1)))
    return (int((lowest <= smoothed.min()).sum()) + 1) / (_PERMUTATIONS + 1)


def _level(smoothed: np.ndarray) -> float:
    """Where the curve begins: its running mean when that has settled."""
    return float(smoothed[min(2 * START - 1, len(smoothed) // 3)])
