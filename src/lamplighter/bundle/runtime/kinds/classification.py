"""Classification: logits become one label, with calibrated probabilities of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamplighter.bundle.runtime.kinds.base import Answer, Kind, Truth, check_rows
from lamplighter.bundle.runtime.kinds.showing import number, quoted
from lamplighter.core.errors import InputError
from lamplighter.data.preprocessing.pipeline import Tensors
from lamplighter.metrics.calibration import softmax

NEAR = 1e-4
"""A probability this near the threshold may be answered either way: the two networks differ by rounding."""


class Classification(Kind):
    """softmax(logits / temperature); the likeliest label, or that which the threshold decides for.

    Answers: ``label``, ``confidence`` (the label's probability, which is below one half where a threshold decided for
    the less likely class) and ``probabilities`` by label.

    >>> from lamplighter.bundle.manifest import Output
    >>> kind = Classification(Output(kind="classification", labels=("cat", "dog"), temperature=2.0))
    >>> kind.scores({"logits": np.array([[2.0, 0.0]], np.float32)}, {}).round(4)
    array([[0.7311, 0.2689]])
    >>> kind.answers({"logits": np.array([[0.0, 0.0]], np.float32)}, {})
    [{'label': 'cat', 'confidence': 0.5, 'probabilities': {'cat': 0.5, 'dog': 0.5}}]
    """

    first = "logits"
    classes = True

    @property
    def columns(self) -> tuple[str, ...]:
        return self.output.labels

    def check_outputs(self, outputs: Tensors, tensors: Tensors) -> None:
        check_rows("logits", outputs["logits"], len(self.columns), "labels")

    def scores(self, outputs: Tensors, tensors: Tensors) -> np.ndarray:
        self._finite(outputs["logits"])
        return softmax(outputs["logits"], self.output.temperature)

    def answers(self, outputs: Tensors, tensors: Tensors) -> list[Answer]:
        scores = self.scores(outputs, tensors)
        labels = self.output.labels
        # The first of equal logits wins, here as everywhere: probabilities may tie where logits do not.
        plain = self.output.threshold is None
        decided = outputs["logits"].argmax(axis=1) if plain else self.output.classes(scores)
        best: list[int] = decided.tolist()
        rows: list[list[float]] = scores.tolist()
        return [
            {"label": labels[k], "confidence": row[k], "probabilities": dict(zip(labels, row))}
            for k, row in zip(best, rows)
        ]

    def difference(self, ours: Answer, theirs: Answer) -> str | None:
        if ours["label"] == theirs["label"]:
            return None
        if self.output.threshold is not None:
            probability = theirs["probabilities"][self.output.labels[self.output.positive]]
            if abs(probability - self.output.threshold) <= NEAR:
                return None
        return f"label '{ours['label']}' where torch says '{theirs['label']}'"

    def entries(self, scores: np.ndarray, answers: Sequence[Answer] | None) -> list[dict[str, Any]]:
        codes = self.output.classes(scores)
        return [
            {"label": self.output.labels[code], "value": None, "confidence": number(row[code])}
            for code, row in zip(codes.tolist(), scores)
        ]

    def truth(self, given: Any) -> Truth:
        if isinstance(given, (str, int)) and str(given) in self.output.labels:
            return str(given)
        raise InputError(f"unknown label {quoted(given)}; known labels: {self._labels()}", field="label")

    def error(self, truth: Truth, label: str | None, scores: np.ndarray) -> float:
        return float(truth != label)

    def known(self) -> str:
        return f"knows the labels {self._labels()}"

    def _labels(self) -> str:
        return ", ".join(self.output.labels[:20]) + (", ..." if len(self.output.labels) > 20 else "")

    def truth_example(self) -> dict[str, Any]:
        return {"label": self.output.labels[0]}

    def fields(self, probabilities: bool) -> list[str]:
        named = [f"probability_{label}" for label in self.output.labels] if probabilities else []
        return ["label", "confidence", *named]

    def flat(self, answer: Answer) -> Answer:
        named = {f"probability_{label}": p for label, p in answer["probabilities"].items()}
        return {"label": answer["label"], "confidence": answer["confidence"], **named}
