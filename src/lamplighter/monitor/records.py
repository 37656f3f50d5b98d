"""One answered request on its way to the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lamplighter.core.errors import InputError, LamplighterError

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
    """

    ids: tuple[str, ...]
    features: np.ndarray
    scores: np.ndarray
    latency: float
    time: float

    @classmethod
    def copy_of(
        cls,
        ids: Sequence[str],
        features: np.ndarray,
        scores: np.ndarray,
        latency: float,
        time: float,
        widths: tuple[int, int],
    ) -> Predictions:
        """A copy that the caller's later changes do not touch.

        Raises:
            ValueError: a shape other than (N, F) and (N, K).
        """
        chunk = cls(
            tuple(ids), np.array(features, dtype=np.float32), np.array(scores, dtype=np.float32), float(latency), time
        )
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
        if output.kind == "classification":
            codes = output.classes(self.scores)
            answers = [
                {"label": output.labels[code], "value": None, "confidence": _number(row[code])}
                for code, row in zip(codes.tolist(), self.scores)
            ]
        else:
            single = self.scores.shape[1] == 1
            answers = [
                {"label": None, "value": _number(row[0]) if single else None, "confidence": None} for row in self.scores
            ]
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


def parse_truth(truth: Any, output: Output) -> str | dict[str, float]:
    """What a client says was right: a known label, or numbers by target.

    Args:
        truth: a label (numbers are taken by their text), a number, or for several targets a mapping of some of them.
        output: ``Manifest.output``.

    Raises:
        InputError: an unknown label, not a finite number, an unknown target.
    """
    if output.kind == "classification":
        if isinstance(truth, (str, int)) and str(truth) in output.labels:
            return str(truth)
        known = ", ".join(output.labels[:20]) + (", ..." if len(output.labels) > 20 else "")
        raise InputError(f"unknown label {_quoted(truth)}; known labels: {known}", field="label")
    if len(output.targets) == 1 and not isinstance(truth, dict):
        truth = {output.targets[0]: truth}
    if not isinstance(truth, dict) or not truth:
        raise InputError(f"give a number for some of the targets: {', '.join(output.targets)}", field="value")
    for target, number in truth.items():
        if target not in output.targets:
            raise InputError(
                f"unknown target {_quoted(target)}; known targets: {', '.join(output.targets)}", field="value"
            )
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not np.isfinite(number):
            raise InputError(f"'{target}' needs a finite number, not {_quoted(number)}", field="value")
    return {target: float(number) for target, number in truth.items()}


def error_of(truth: str | dict[str, float], label: str | None, scores: np.ndarray, output: Output) -> float:
    """How wrong a prediction was: 1 for a wrong label, 0 for the right one; the mean absolute error of numbers."""
    if isinstance(truth, str):
        return float(truth != label)
    return float(np.mean([abs(scores[output.targets.index(target)] - value) for target, value in truth.items()]))


def _number(value: np.floating[Any]) -> float | None:
    return float(value) if np.isfinite(value) else None


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
