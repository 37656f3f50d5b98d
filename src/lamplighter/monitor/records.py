"""One answered request on its way to the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lamplighter.bundle.runtime import kinds
from lamplighter.core.errors import LamplighterError

if TYPE_CHECKING:
    from lamplighter.bundle.manifest import Output


class MonitorError(LamplighterError):
    """The store cannot be opened, read or written just now."""

    status = 503


@dataclass(frozen=True)
class Predictions:
    """The rows of one request.

    Attributes:
        ids: prediction id of each row.
        features: (N, F) float32, what the monitor watches.
        scores: (N, K) float32, probabilities or predicted values.
        latency: seconds from request to answer.
        time: Unix time of the answer.
        answers: as the client got them; None where scores say everything.
    """

    ids: tuple[str, ...]
    features: np.ndarray
    scores: np.ndarray
    latency: float
    time: float
    answers: tuple[dict[str, Any], ...] | None = None

    @classmethod
    def copy_of(
        cls,
        ids: Sequence[str],
        features: np.ndarray,
        scores: np.ndarray,
        latency: float,
        time: float,
        widths: tuple[int, int],
        answers: Sequence[dict[str, Any]] | None = None,
    ) -> Predictions:
        """A copy that the caller's later changes do not touch.

        Raises:
            ValueError: a shape other than (N, F) and (N, K).
        """
        numbers = np.array(features, dtype=np.float32), np.array(scores, dtype=np.float32)
        chunk = cls(tuple(ids), *numbers, float(latency), time, None if answers is None else tuple(answers))
        wanted = ((len(chunk.ids), widths[0]), (len(chunk.ids), widths[1]))
        if (chunk.features.shape, chunk.scores.shape) != wanted:
            raise ValueError(
                f"features and scores have shapes {chunk.features.shape} and {chunk.scores.shape}, not {wanted}"
            )
        return chunk

    def __len__(self) -> int:
        return len(self.ids)

    def to_rows(self, model: str, version: str, output: Output) -> list[dict[str, Any]]:
        """Rows of the table ``predictions``."""
        answers = kinds.of(output).entries(self.scores, self.answers)
        return [
            {
                "id": id_,
                "model": model,
                "version": version,
                "time": self.time,
                "latency": self.latency,
                **answer,
                "features": features.tobytes(),
                "scores": scores.tobytes(),
            }
            for id_, answer, features, scores in zip(self.ids, answers, self.features, self.scores)
        ]
