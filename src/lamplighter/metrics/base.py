"""What a registered metric offers: one number of all rows at once, the same number batch by batch, and an interval."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, ClassVar, Literal

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics import confusion as cm
from lamplighter.metrics.calibration import softmax
from lamplighter.metrics.streaming import ConfusionStream, RowStream, Stream, SumStream, Total
from lamplighter.metrics.tags import tag_lists

Takes = Literal["labels", "probabilities", "scores", "values", "rankings", "masks", "tags", "texts"]
"""What a metric compares, predictions first:

* ``labels``: class indices (N,) and true ones (N,).
* ``probabilities``: (N, K) and true class indices (N,).
* ``scores``: (N, K), or (N,) for a yes-or-no question, on any monotone scale, and true class indices (N,).
* ``values``: (N, T) or (N,) numbers and true ones of the same shape, NaN for a blank.
* ``rankings``: scores (Q, D) of D documents for Q queries, and their relevance (Q, D), NaN where there is none.
* ``masks``: class indices (N, ...) of pixels and true ones; or, the pixels of each image counted, confusion matrices
  (N, K, K) and their row sums (N, K).
* ``tags``: a list of sentences, each a list of tags such as ``B-PER``, and the true ones.
* ``texts``: a list of texts and the true ones.
"""


class Metric:
    """Base of all metrics. A metric of one's own overrides `compute`, and names what it ``takes`` and its ``key``.

    Constructor parameters come from the recipe. Calling the metric gives what a `stream` of the same rows gives, to the
    last digit; `compute` may round differently and is what resampling repeats a thousand times.

    Attributes:
        takes: see `Takes`.
        mode: whether large or small numbers are good.
        bounds: the least and the largest number it can be.
        key: its name in ``metrics.jsonl`` and in scores.
    """

    takes: ClassVar[Takes]
    mode: ClassVar[Literal["min", "max"]] = "max"
    bounds: ClassVar[tuple[float, float]] = (-inf, inf)
    key: str

    def __call__(self, predicted: Any, y: Any) -> float:
        """The metric of these rows; NaN where they do not define it."""
        stream = self.stream()
        stream.update(predicted, y)
        return stream.compute()

    def stream(self) -> Stream:
        """An empty stream, which gives the same number batch by batch."""
        return RowStream(self.compute)

    def compute(self, predicted: Any, y: Any) -> float:
        """The metric of all rows at once."""
        raise NotImplementedError

    def rows(self, predicted: Any, y: Any) -> np.ndarray | None:
        """(N,) numbers whose mean is the metric, or None when it is no mean over rows."""
        return None

    def contributions(self, predicted: Any, y: Any) -> np.ndarray | None:
        """(N,) numbers whose mean is the metric and whose spread is its uncertainty, to first order; None: unknown."""
        return self.rows(predicted, y)


class ConfusionMetric(Metric):
    """A function of the confusion matrix; `of` says which."""

    takes: ClassVar[Takes] = "labels"

    def of(self, confusion: np.ndarray) -> float:
        """The metric of a (K, K) confusion matrix with the truth in rows."""
        raise NotImplementedError

    def count(self, predicted: Any, y: Any) -> np.ndarray:
        """The confusion matrix of a batch, as large as its largest class index."""
        predicted, y = np.asarray(predicted), np.asarray(y)
        if predicted.size and y.size and {predicted.dtype.kind, y.dtype.kind} - set("biu"):
            raise DataError(
                f"metric '{self.key}' compares class indices: whole numbers, not {predicted.dtype}, {y.dtype}"
            )
        largest = max((int(part.max()) for part in (predicted, y) if part.size), default=-1)
        return cm.confusion_matrix(predicted, y, largest + 1)

    def stream(self) -> ConfusionStream:
        return ConfusionStream(self.count, self.of)

    def compute(self, predicted: Any, y: Any) -> float:
        return self.of(self.count(predicted, y))


class SumMetric(Metric):
    """A function of sums over rows; `terms` says of what, and `of` which."""

    def terms(self, predicted: Any, y: Any) -> np.ndarray:
        """(N, F) numbers of each row to be summed."""
        raise NotImplementedError

    def of(self, sums: Sequence[Total]) -> float:
        """The metric from the F exact sums; NaN of an empty list: there were no rows."""
        raise NotImplementedError

    def stream(self) -> SumStream:
        return SumStream(self.terms, self.of)


class MeanMetric(SumMetric):
    """A mean over rows; `rows` says of what. NaN without rows."""

    def rows(self, predicted: Any, y: Any) -> np.ndarray:
        """(N,) numbers whose mean is the metric."""
        raise NotImplementedError

    def terms(self, predicted: Any, y: Any) -> np.ndarray:
        rows = self.rows(predicted, y)
        return np.column_stack([np.ones(len(rows)), rows])

    def of(self, sums: Sequence[Total]) -> float:
        return float(sums[1] / sums[0]) if sums and sums[0] else float("nan")

    def compute(self, predicted: Any, y: Any) -> float:
        rows = self.rows(predicted, y)
        return float(rows.mean()) if len(rows) else float("nan")


def inputs(takes: Takes, outputs: dict[str, np.ndarray], labels: Sequence[str] = ()) -> tuple[Any, Any]:
    """Predictions and truth for a metric, out of what a task's ``evaluate`` gave for a split.

    Args:
        takes: of the metric.
        outputs: ``logits`` or ``probabilities`` (N, K) with ``y`` (N,), or ``value`` with ``y``; ``answers`` (N,) when
            the classes answered are not simply the most probable ones; or ``confusion`` (N, K, K), counts of pixels;
            or ``predicted`` and ``y`` (N, M), the tag of each word, -1 behind the last; or ``texts`` and
            ``true_texts`` (N,).
        labels: names of the tags.

    Raises:
        DataError: these outputs are not what the metric compares.

    >>> outputs = {"logits": np.array([[0.0, 2.0], [1.0, 0.0]]), "y": np.array([1, 1])}
    >>> inputs("labels", outputs)
    (array([1, 0]), array([1, 1]))
    """
    likely = outputs.get("logits", outputs.get("probabilities"))
    if likely is not None and likely.ndim == 2:
        if takes == "labels":
            return outputs.get("answers", likely.argmax(axis=1)), outputs["y"]
        if takes in ("probabilities", "scores"):
            return (softmax(likely) if "logits" in outputs else likely), outputs["y"]
    if takes == "values" and "value" in outputs:
        return outputs["value"], outputs["y"]
    if takes == "masks" and "confusion" in outputs:
        return outputs["confusion"], outputs["confusion"].sum(axis=2)
    if takes == "texts" and "texts" in outputs:
        return outputs["texts"].tolist(), outputs["true_texts"].tolist()
    if takes in ("tags", "labels") and "predicted" in outputs and labels:
        known = outputs["y"] >= 0
        if takes == "labels":
            return outputs["predicted"][known], outputs["y"][known]
        return tag_lists(outputs["predicted"], outputs["y"], labels)
    given = "class probabilities" if likely is not None else "numbers" if "value" in outputs else ", ".join(outputs)
    raise DataError(f"it takes {takes}, and this task gives {given}")
