"""Metrics of ranked lists: NDCG, MRR, MAP, precision and recall among the first k.

Every query has D candidate documents, with a score and a relevance each; NaN relevance means that the document is no
candidate of this query, so queries may have lists of different length. Documents of equal score stand in no order:
NDCG, MRR, precision and recall are then the mean over all orders, computed exactly and not by shuffling.

Legend: Q queries, D documents, G groups of equal score within one query.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb
from typing import NamedTuple

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics.ranking import average_precision


class _Ties(NamedTuple):
    """One query, best group first.

    Attributes:
        size: (G,) documents of each score.
        gain: (G,) sum of their relevance.
        above: (G,) documents of higher score.
    """

    size: np.ndarray
    gain: np.ndarray
    above: np.ndarray


def ndcg(scores: np.ndarray, relevance: np.ndarray, k: int | None = None) -> float:
    """Normalised discounted cumulative gain (Jarvelin and Kekalainen 2002), the mean over queries. NaN without queries.

    DCG = sum_i relevance_i / log2(1 + rank_i) over the first k ranks, divided by that of the ideal order. 0 for a query
    without a relevant document.

    Args:
        scores: (Q, D) higher is ranked first.
        relevance: (Q, D) from 0 upwards; NaN for no candidate.
        k: ranks that count; None for all.

    Raises:
        DataError: shapes that do not fit, a relevance below 0, or a score that is NaN.

    >>> round(ndcg(np.array([[0.9, 0.8, 0.1]]), np.array([[0.0, 2.0, 1.0]])), 4)
    0.6697
    """
    return _mean(ndcg_of_queries(scores, relevance, k))


def mrr(scores: np.ndarray, relevance: np.ndarray) -> float:
    """Mean reciprocal rank (Voorhees 1999): 1 / rank of the first relevant document, 0 where there is none.

    Arguments as in `ndcg`; relevant is what is above 0.

    >>> mrr(np.array([[0.9, 0.8, 0.1], [0.5, 0.4, 0.3]]), np.array([[0, 1, 1], [1, 0, 0]]))
    0.75
    """
    return _mean(reciprocal_ranks(scores, relevance))


def mean_average_precision(scores: np.ndarray, relevance: np.ndarray) -> float:
    """Mean over queries of `lamplighter.metrics.ranking.average_precision`; equal scores are taken together.

    0 for a query without a relevant document. Arguments as in `mrr`.

    >>> round(mean_average_precision(np.array([[0.9, 0.8, 0.1]]), np.array([[0, 1, 1]])), 4)
    0.5833
    """
    return _mean(average_precisions(scores, relevance))


def precision_at_k(scores: np.ndarray, relevance: np.ndarray, k: int) -> float:
    """Share of the first k places that hold a relevant document; places of a shorter list count as misses.

    Arguments as in `mrr`.

    >>> precision_at_k(np.array([[0.9, 0.8, 0.1]]), np.array([[0, 1, 1]]), k=2)
    0.5
    """
    return _mean(hits_at_k(scores, relevance, k) / k)


def recall_at_k(scores: np.ndarray, relevance: np.ndarray, k: int) -> float:
    """Share of a query's relevant documents that stand among the first k; 0 for a query without any.

    Arguments as in `mrr`.

    >>> recall_at_k(np.array([[0.9, 0.8, 0.1]]), np.array([[0, 1, 1]]), k=1)
    0.0
    """
    return _mean(recalls_at_k(scores, relevance, k))


def ndcg_of_queries(scores: np.ndarray, relevance: np.ndarray, k: int | None = None) -> np.ndarray:
    """(Q,) `ndcg` of each query."""
    _check_k(1 if k is None else k)
    found = []
    for own, relevant in _queries(scores, relevance):
        ranks = np.arange(1, len(own) + 1)
        discount = np.where(ranks <= (len(own) if k is None else k), 1 / np.log2(1 + ranks), 0.0)
        reached = np.append(0.0, np.cumsum(discount))
        ties = _ties(own, relevant)
        shared = (reached[ties.above + ties.size] - reached[ties.above]) / ties.size
        ideal = float(np.sort(relevant)[::-1] @ discount)
        found.append(float(ties.gain @ shared) / ideal if ideal > 0 else 0.0)
    return np.array(found)


def reciprocal_ranks(scores: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """(Q,) expected 1 / rank of the first relevant document."""
    found = []
    for own, relevant in _queries(scores, relevance):
        ties = _ties(own, (relevant > 0).astype(np.float64))
        first = np.flatnonzero(ties.gain > 0)
        if not first.size:
            found.append(0.0)
            continue
        size, hits, above = (int(part[first[0]]) for part in (ties.size, ties.gain, ties.above))
        # The first of `hits` among `size` shuffled places is the (j + 1)th with this chance:
        chances = [comb(size - j - 1, hits - 1) / comb(size, hits) for j in range(size - hits + 1)]
        found.append(sum(chance / (above + j + 1) for j, chance in enumerate(chances)))
    return np.array(found)


def average_precisions(scores: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """(Q,) average precision of each query."""
    return np.array([average_precision(own, relevant > 0) for own, relevant in _queries(scores, relevance)])


def hits_at_k(scores: np.ndarray, relevance: np.ndarray, k: int) -> np.ndarray:
    """(Q,) expected number of relevant documents among the first k.

    Raises:
        DataError: k below 1, besides what `ndcg` refuses.
    """
    _check_k(k)
    found = []
    for own, relevant in _queries(scores, relevance):
        ties = _ties(own, (relevant > 0).astype(np.float64))
        inside = np.clip(k - ties.above, 0, ties.size)
        found.append(float((ties.gain * inside / ties.size).sum()))
    return np.array(found)


def recalls_at_k(scores: np.ndarray, relevance: np.ndarray, k: int) -> np.ndarray:
    """(Q,) share of each query's relevant documents among the first k."""
    hits = hits_at_k(scores, relevance, k)
    total = np.array([float((relevant > 0).sum()) for _, relevant in _queries(scores, relevance)])
    return np.divide(hits, total, out=np.zeros(len(hits)), where=total > 0)


def _queries(scores: np.ndarray, relevance: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Scores and relevance of the candidates of each query."""
    scores, relevance = np.asarray(scores, dtype=np.float64), np.asarray(relevance, dtype=np.float64)
    if scores.shape != relevance.shape or scores.ndim != 2:
        raise DataError(f"scores of shape {scores.shape} do not fit relevance of shape {relevance.shape}: (Q, D) both")
    given = ~np.isnan(relevance)
    for row, (own, relevant, candidates) in enumerate(zip(scores, relevance, given)):
        if np.isnan(own[candidates]).any():
            raise DataError(f"query {row}: a score is NaN; such a list has no order")
        if (relevant[candidates] < 0).any():
            raise DataError(f"query {row}: a relevance is below 0")
        yield own[candidates], relevant[candidates]


def _ties(scores: np.ndarray, relevance: np.ndarray) -> _Ties:
    _, place, size = np.unique(-scores, return_inverse=True, return_counts=True)
    gain = np.bincount(place, relevance, minlength=len(size))
    return _Ties(size, gain, np.cumsum(size) - size)


def _check_k(k: int) -> None:
    if k < 1:
        raise DataError(f"k = {k}: the first k places need a k of at least 1")


def _mean(each: np.ndarray) -> float:
    return float(each.mean()) if each.size else float("nan")
