"""Registered metrics of written texts: exact match and BLEU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics import bleu
from lamplighter.metrics.base import MeanMetric, SumMetric, Takes
from lamplighter.metrics.streaming import Total


class ExactMatch(MeanMetric):
    """Share of texts that are written exactly as wanted, white space at both ends aside."""

    bounds = (0.0, 1.0)
    takes: ClassVar[Takes] = "texts"
    key = "exact_match"

    def rows(self, predicted: Any, y: Any) -> np.ndarray:
        return np.array([own.strip() == wanted.strip() for own, wanted in _pairs(predicted, y)], np.float64)


class BLEU(SumMetric):
    """Corpus BLEU of 1- to 4-grams of words, between 0 and 1, see `lamplighter.metrics.bleu`."""

    bounds = (0.0, 1.0)
    takes: ClassVar[Takes] = "texts"
    key = "bleu"

    def terms(self, predicted: Any, y: Any) -> np.ndarray:
        counts = [bleu.counts(own, wanted) for own, wanted in _pairs(predicted, y)]
        return np.array(counts, np.float64).reshape(len(counts), 2 * bleu.ORDER + 2)

    def of(self, sums: Sequence[Total]) -> float:
        return bleu.of_counts([float(total) for total in sums]) if sums else float("nan")

    def compute(self, predicted: Any, y: Any) -> float:
        return self.of(self.terms(predicted, y).sum(axis=0).tolist())

    def contributions(self, predicted: Any, y: Any) -> np.ndarray:
        return bleu.influence(self.terms(predicted, y))


def _pairs(predicted: Any, y: Any) -> list[tuple[str, str]]:
    if len(predicted) != len(y):
        raise DataError(f"{len(predicted)} texts do not fit {len(y)} wanted ones: give one each")
    for texts in (predicted, y):
        strange = next((text for text in texts if not isinstance(text, str)), None)
        if strange is not None:
            raise DataError(f"metrics of texts compare strings, not {type(strange).__name__}")
    return list(zip(predicted, y))
