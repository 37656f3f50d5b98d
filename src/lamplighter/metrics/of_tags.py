"""The registered metric of tagged text: entity-level F1."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np

from lamplighter.metrics import tags
from lamplighter.metrics.base import Metric
from lamplighter.metrics.streaming import Stream


class EntityF1(Metric):
    """F1 of whole entities, see `lamplighter.metrics.tags`.

    Args:
        scheme: how tags are read; lenient mends what no scheme allows.
        average: all types together, mean over types, or mean weighted by the entities of each type.
    """

    bounds = (0.0, 1.0)
    takes = "tags"

    def __init__(
        self, scheme: tags.Scheme = "lenient", average: Literal["micro", "macro", "weighted"] = "micro"
    ) -> None:
        self.scheme = scheme
        self.average: Literal["micro", "macro", "weighted"] = average
        self.key = "entity_f1" if average == "micro" else f"entity_f1_{average}"

    def stream(self) -> EntityStream:
        return EntityStream(self)

    def compute(self, predicted: Any, y: Any) -> float:
        return tags.entity_f1(tags.entity_counts(predicted, y, self.scheme), self.average)


class EntityStream(Stream):
    """Keeps counts of entities by type.

    Args:
        metric: whose scheme and average to use.
    """

    def __init__(self, metric: EntityF1) -> None:
        self._metric = metric
        self.counts: dict[str, np.ndarray] = {}

    def update(self, predicted: Any, y: Any) -> None:
        self._add(tags.entity_counts(predicted, y, self._metric.scheme))

    def merge(self, other: Self) -> None:
        self._add(other.counts)

    def compute(self) -> float:
        return tags.entity_f1(dict(sorted(self.counts.items())), self._metric.average)

    def _add(self, counts: dict[str, np.ndarray]) -> None:
        for kind, each in counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + each
