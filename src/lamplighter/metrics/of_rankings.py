"""Registered metrics of ranked lists: means over queries of what `lamplighter.metrics.retrieval` computes for each."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from lamplighter.metrics import retrieval
from lamplighter.metrics.base import MeanMetric


class NDCG(MeanMetric):
    """Normalised discounted cumulative gain, see `lamplighter.metrics.retrieval.ndcg`.

    Args:
        k: ranks that count; null: all.
    """

    bounds = (0.0, 1.0)
    takes = "rankings"

    def __init__(self, k: Annotated[int | None, Field(gt=0)] = None) -> None:
        self.k = k
        self.key = "ndcg" if k is None else f"ndcg_at_{k}"

    def rows(self, predicted: Any, y: Any) -> np.ndarray:
        return retrieval.ndcg_of_queries(predicted, y, self.k)


class MRR(MeanMetric):
    """Mean reciprocal rank of the first relevant document, see `lamplighter.metrics.retrieval.mrr`."""

    bounds = (0.0, 1.0)
    takes = "rankings"
    key = "mrr"

    def rows(self, predicted: Any, y: Any) -> np.ndarray:
        return retrieval.reciprocal_ranks(predicted, y)


class MeanAveragePrecision(MeanMetric):
    """Average precision, averaged over queries, see `lamplighter.metrics.retrieval.mean_average_precision`."""

    bounds = (0.0, 1.0)
    takes = "rankings"
    key = "map"

    def rows(self, predicted: Any, y: Any) -> np.ndarray:
        return retrieval.average_precisions(predicted, y)


class PrecisionAtK(MeanMetric):
    """Share of the first k places with a relevant document, see `lamplighter.metrics.retrieval.precision_at_k`.

    Args:
        k: places that count.
    """

    bounds = (0.0, 1.0)
    takes = "rankings"

    def __init__(self, k: Annotated[int, Field(gt=0)] = 10) -> None:
        self.k = k
        self.key = f"precision_at_{k}"

    def rows(self, predicted: Any, y: Any) -> np.ndarray:
        return retrieval.hits_at_k(predicted, y, self.k) / self.k


class RecallAtK(MeanMetric):
    """Share of the relevant documents among the first k, see `lamplighter.metrics.retrieval.recall_at_k`.

    Args:
        k: places that count.
    """

    bounds = (0.0, 1.0)
    takes = "rankings"

    def __init__(self, k: Annotated[int, Field(gt=0)] = 10) -> None:
        self.k = k
        self.key = f"recall_at_{k}"

    def rows(self, predicted: Any, y: Any) -> np.ndarray:
        return retrieval.recalls_at_k(predicted, y, self.k)
