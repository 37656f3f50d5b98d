"""A reported number is never alone: it comes with its sample size and an interval."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Score(BaseModel):
    """One metric on one split.

    Attributes:
        value: the metric.
        n: rows it was computed from.
        low: lower end of the interval.
        high: upper end of the interval.
        level: coverage of the interval.

    >>> str(Score(value=0.9312, n=10000, low=0.926, high=0.936))
    '0.9312 (95% interval 0.9260 to 0.9360, n = 10,000)'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    n: int
    low: float
    high: float
    level: float = 0.95

    def __str__(self) -> str:
        interval = f"{self.level:.0%} interval {self.low:.4f} to {self.high:.4f}"
        return f"{self.value:.4f} ({interval}, n = {self.n:,})"
