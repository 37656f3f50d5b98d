"""ROC and precision-recall curves against scikit-learn, point by point."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as oracle

from lamplighter.core.errors import DataError
from lamplighter.metrics.curves import counts_by_threshold, precision_recall_curve, roc_curve
from lamplighter.metrics.ranking import average_precision, roc_auc


def _tied(n: int, levels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, levels, seed])
    positive = rng.random(n) < 0.3
    positive[:2] = [True, False]
    return np.round((rng.normal(size=n) + positive) * levels) / levels, positive


@pytest.mark.parametrize("n", [2, 50, 2000])
@pytest.mark.parametrize("levels", [1, 4, 10**6])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_point_equals_scikit_learn(n: int, levels: int, weighted: bool) -> None:
    scores, positive = _tied(n, levels, 0)
    weight = np.random.default_rng(n).random(n) + 0.01 if weighted else None
    ours = roc_curve(scores, positive, weight)
    fpr, tpr, thresholds = oracle.roc_curve(positive, scores, sample_weight=weight, drop_intermediate=False)
    np.testing.assert_allclose(ours.false_positive_rate, fpr, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.true_positive_rate, tpr, rtol=0, atol=1e-12)
    assert np.array_equal(ours.thresholds, thresholds)
    curve = precision_recall_curve(scores, positive, weight)
    precision, recall, thresholds = oracle.precision_recall_curve(positive, scores, sample_weight=weight)
    np.testing.assert_allclose(curve.precision, precision, rtol=0, atol=1e-12)
    np.testing.assert_allclose(curve.recall, recall, rtol=0, atol=1e-12)
    assert np.array_equal(curve.thresholds, thresholds)


def test_areas_under_the_curves_are_the_metrics() -> None:
    scores, positive = _tied(500, 3, 2)
    roc, pr = roc_curve(scores, positive), precision_recall_curve(scores, positive)
    area = oracle.auc(roc.false_positive_rate, roc.true_positive_rate)
    assert area == pytest.approx(roc_auc(scores, positive), abs=1e-12)
    steps = -(np.diff(pr.recall) * pr.precision[:-1]).sum()
    assert steps == pytest.approx(average_precision(scores, positive), abs=1e-12)


def test_a_row_without_weight_moves_no_point() -> None:
    scores, positive = np.array([0.9, 0.5, 0.1]), np.array([1, 0, 1])
    assert counts_by_threshold(scores, positive, np.array([1.0, 0.0, 1.0])).thresholds.tolist() == [0.9, 0.1]


def test_where_not_defined() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nothing = np.empty(0)
        assert counts_by_threshold(nothing, nothing).positives == 0.0
        assert np.isnan(roc_curve(nothing, nothing).true_positive_rate).all()
        assert precision_recall_curve(nothing, nothing).precision.tolist() == [1.0]
        only_no = roc_curve(np.array([0.2, 0.1]), np.zeros(2))
        assert np.isnan(only_no.true_positive_rate).all() and only_no.false_positive_rate.tolist() == [0, 0.5, 1]
        only_yes = roc_curve(np.array([0.2, 0.1]), np.ones(2))
        assert np.isnan(only_yes.false_positive_rate).all() and only_yes.true_positive_rate.tolist() == [0, 0.5, 1]
        assert precision_recall_curve(np.array([0.2, 0.1]), np.zeros(2)).recall.tolist() == [1, 1, 0]


def test_shapes_must_fit() -> None:
    with pytest.raises(DataError, match="do not fit"):
        roc_curve(np.zeros(3), np.zeros(2))
    with pytest.raises(DataError, match="weights of shape"):
        precision_recall_curve(np.zeros(3), np.zeros(3), np.ones(2))
