"""Regression: the network's values are the answers, in the targets' own units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamplighter.bundle.runtime.kinds.base import Answer, Kind, Truth, check_rows
from lamplighter.bundle.runtime.kinds.showing import number, quoted
from lamplighter.core.errors import InputError
from lamplighter.data.preprocessing.pipeline import Tensors

ATOL, RTOL = 1e-4, 1e-5
"""Of the parity gate, for answers."""


class Regression(Kind):
    """Answers: ``value``, or ``values`` by target when there are several.

    >>> from lamplighter.bundle.manifest import Output
    >>> Regression(Output(kind="regression", targets=("price",))).answers({"value": np.array([[2.5]], np.float32)}, {})
    [{'value': 2.5}]
    """

    first = "value"
    metric = "mae"
    headline = ("mae", "mean absolute error", False)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.output.targets

    def check_outputs(self, outputs: Tensors, tensors: Tensors) -> None:
        check_rows("value", outputs["value"], len(self.columns), "targets")

    def scores(self, outputs: Tensors, tensors: Tensors) -> np.ndarray:
        self._finite(outputs["value"])
        return outputs["value"].astype(np.float64)

    def answers(self, outputs: Tensors, tensors: Tensors) -> list[Answer]:
        rows: list[list[float]] = self.scores(outputs, tensors).tolist()
        if len(self.columns) == 1:
            return [{"value": row[0]} for row in rows]
        return [{"values": dict(zip(self.columns, row))} for row in rows]

    def difference(self, ours: Answer, theirs: Answer) -> str | None:
        a, b = (np.array(list(answer.get("values", answer).values())) for answer in (ours, theirs))
        apart = abs(a - b)
        if (apart <= ATOL + RTOL * abs(b).max()).all():
            return None
        return f"value {a[apart.argmax()]:.6g} where torch says {b[apart.argmax()]:.6g}"

    def entries(self, scores: np.ndarray, answers: Sequence[Answer] | None) -> list[dict[str, Any]]:
        single = scores.shape[1] == 1
        return [{"label": None, "value": number(row[0]) if single else None, "confidence": None} for row in scores]

    def truth(self, given: Any) -> Truth:
        return numbers_by_name(given, self.columns)

    def error(self, truth: Truth, label: str | None, scores: np.ndarray) -> float:
        return mean_error(truth, self.columns, scores)

    def known(self) -> str:
        if len(self.columns) == 1:
            return 'predicts a number: send "value"'
        return f'predicts numbers: send "values" as an object with {", ".join(self.columns)}'

    def truth_example(self) -> dict[str, Any]:
        return {"value": 1.5} if len(self.columns) == 1 else {"values": dict.fromkeys(self.columns, 1.5)}

    def fields(self, probabilities: bool) -> list[str]:
        return ["value"] if len(self.columns) == 1 else list(self.columns)

    def flat(self, answer: Answer) -> Answer:
        return dict(answer.get("values", answer))


def numbers_by_name(given: Any, names: Sequence[str]) -> dict[str, float]:
    """Numbers for some of the names; a bare number where there is one name only.

    Raises:
        InputError: an unknown name, or not a finite number.
    """
    if len(names) == 1 and not isinstance(given, dict):
        given = {names[0]: given}
    if not isinstance(given, dict) or not given:
        raise InputError(f"give a number for some of the targets: {', '.join(names)}", field="value")
    for name, value in given.items():
        if name not in names:
            raise InputError(f"unknown target {quoted(name)}; known targets: {', '.join(names)}", field="value")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
            raise InputError(f"'{name}' needs a finite number, not {quoted(value)}", field="value")
    return {name: float(value) for name, value in given.items()}


def mean_error(truth: Truth, names: Sequence[str], scores: np.ndarray) -> float:
    """Mean absolute error over the names that a truth has."""
    assert isinstance(truth, dict)
    return float(np.mean([abs(scores[names.index(name)] - value) for name, value in truth.items()]))
