"""Ranking metrics against scikit-learn, and ties against every order written out."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as oracle

from lamplighter.core.errors import DataError
from lamplighter.metrics.retrieval import (
    average_precisions,
    mean_average_precision,
    mrr,
    ndcg,
    ndcg_of_queries,
    precision_at_k,
    recall_at_k,
)


def _lists(q: int, d: int, levels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([q, d, levels, seed])
    relevance = rng.integers(0, 4, size=(q, d)) * (rng.random((q, d)) < 0.5)
    return np.round(levels * (rng.random((q, d)) + relevance / 8)) / levels, relevance.astype(np.float64)


@pytest.mark.parametrize(("q", "d"), [(1, 2), (20, 7), (50, 40)])
@pytest.mark.parametrize("levels", [1, 4, 10**6])
@pytest.mark.parametrize("k", [None, 1, 5])
def test_ndcg_equals_scikit_learn(q: int, d: int, levels: int, k: int | None) -> None:
    for seed in range(4):
        scores, relevance = _lists(q, d, levels, seed)
        assert ndcg(scores, relevance, k) == pytest.approx(oracle.ndcg_score(relevance, scores, k=k), abs=1e-12)


@pytest.mark.parametrize("levels", [1, 4, 10**6])
def test_map_equals_scikit_learn_query_by_query(levels: int) -> None:
    scores, relevance = _lists(60, 12, levels, 0)
    for found, own, relevant in zip(average_precisions(scores, relevance), scores, relevance > 0):
        if relevant.any():
            assert found == pytest.approx(oracle.average_precision_score(relevant, own), abs=1e-12)
        else:
            assert found == 0.0
    some = (relevance > 0).any(axis=1)
    ranked = oracle.label_ranking_average_precision_score(relevance[some] > 0, scores[some])
    assert mean_average_precision(scores[some], relevance[some]) == pytest.approx(ranked, abs=1e-12)


def _over_all_orders(scores: np.ndarray, relevance: np.ndarray, metric: Callable[[np.ndarray], float]) -> float:
    """Mean of a metric of the sorted relevance over every order that the scores allow."""
    groups = [list(relevance[scores == s]) for s in sorted(set(scores), reverse=True)]
    orders = itertools.product(*[itertools.permutations(group) for group in groups])
    return float(np.mean([metric(np.array([r for group in order for r in group])) for order in orders]))


@pytest.mark.parametrize("seed", range(30))
def test_ties_are_the_mean_over_every_order(seed: int) -> None:
    scores, relevance = _lists(1, 6, 1 + seed % 3, seed)

    def reciprocal(ranked: np.ndarray) -> float:
        return 1 / (1 + np.flatnonzero(ranked > 0)[0]) if (ranked > 0).any() else 0.0

    assert mrr(scores, relevance) == pytest.approx(_over_all_orders(scores[0], relevance[0], reciprocal), abs=1e-12)
    for k in (1, 2, 3, 6):
        hits = _over_all_orders(scores[0], relevance[0], lambda ranked, k=k: float((ranked[:k] > 0).sum()))
        assert precision_at_k(scores, relevance, k) == pytest.approx(hits / k, abs=1e-12)
        total = (relevance > 0).sum()
        assert recall_at_k(scores, relevance, k) == pytest.approx(hits / total if total else 0.0, abs=1e-12)


def test_a_document_without_relevance_is_no_candidate() -> None:
    scores, relevance = _lists(5, 9, 4, 0)
    wider = np.column_stack([np.full(5, 99.0), scores, np.full(5, np.nan)])
    blank = np.column_stack([np.full(5, np.nan), relevance, np.full(5, np.nan)])
    for metric in (ndcg, mrr, mean_average_precision):
        assert metric(wider, blank) == metric(scores, relevance)
    assert recall_at_k(wider, blank, 3) == recall_at_k(scores, relevance, 3)


def test_recall_grows_with_k_to_one() -> None:
    scores, relevance = _lists(30, 10, 10**6, 1)
    relevance[:, 0] = 1
    recalls = [recall_at_k(scores, relevance, k) for k in range(1, 11)]
    assert recalls == sorted(recalls) and recalls[-1] == 1.0


def test_where_not_defined() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nothing, no_relevant = np.empty((0, 4)), np.zeros((1, 4))
        for metric in (ndcg, mrr, mean_average_precision):
            assert np.isnan(metric(nothing, nothing))
            assert metric(np.ones((1, 4)), no_relevant) == 0.0
            assert metric(np.ones((1, 4)), np.full((1, 4), np.nan)) == 0.0
        assert np.isnan(precision_at_k(nothing, nothing, 3)) and np.isnan(recall_at_k(nothing, nothing, 3))
        assert recall_at_k(np.ones((1, 4)), no_relevant, 3) == 0.0
        assert precision_at_k(np.ones((1, 2)), np.ones((1, 2)), 4) == 0.5  # two of four places
        assert ndcg_of_queries(nothing, nothing).shape == (0,)


def test_what_has_no_order_is_refused() -> None:
    with pytest.raises(DataError, match="query 1: a score is NaN"):
        mrr(np.array([[1.0, 2.0], [1.0, np.nan]]), np.ones((2, 2)))
    with pytest.raises(DataError, match="query 0: a relevance is below 0"):
        ndcg(np.ones((1, 2)), np.array([[1.0, -1.0]]))
    with pytest.raises(DataError, match="do not fit"):
        ndcg(np.ones((1, 2)), np.ones((1, 3)))
    with pytest.raises(DataError, match="k = 0"):
        precision_at_k(np.ones((1, 2)), np.ones((1, 2)), 0)
    with pytest.raises(DataError, match="k = 0"):
        ndcg(np.ones((1, 2)), np.ones((1, 2)), 0)
