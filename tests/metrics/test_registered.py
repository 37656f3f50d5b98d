"""The registered metrics with other parameters than their defaults, against scikit-learn and seqeval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from seqeval import metrics as sequences
from seqeval import scheme as schemes
from sklearn import metrics as oracle

from lamplighter.core import registry
from lamplighter.core.errors import DataError, LamplighterError
from lamplighter.metrics import calibration, masks, retrieval
from lamplighter.metrics.of_labels import Accuracy, BalancedAccuracy, CohenKappa, FBeta, Precision, Recall
from lamplighter.metrics.of_masks import Dice, DiceOfImages, MeanIoU
from lamplighter.metrics.of_probabilities import ECE, MCE, AdaptiveECE, Brier, LogLoss, TopKAccuracy
from lamplighter.metrics.of_rankings import NDCG, PrecisionAtK, RecallAtK
from lamplighter.metrics.of_scores import ROCAUC, AveragePrecision
from lamplighter.metrics.of_tags import EntityF1
from lamplighter.metrics.of_values import MAE, MAPE, MSE, R2, RMSE, ExplainedVariance, MaxError, Pinball

RNG = np.random.default_rng(0)
K = 5
Y = RNG.integers(K, size=300)
ANSWERS = np.where(RNG.random(300) < 0.6, Y, RNG.integers(K, size=300))
PARTS = np.round(100 * RNG.dirichlet(np.ones(K), size=300)) + 1 + 40 * np.eye(K)[ANSWERS]
P = PARTS / PARTS.sum(axis=1, keepdims=True)
UNTIED = RNG.dirichlet(np.ones(K), size=300)  # of equals scikit-learn takes the last, and its top-1 is no accuracy
TWO = RNG.integers(2, size=200)
ANSWERS_TWO = np.where(RNG.random(200) < 0.7, TWO, 1 - TWO)
VALUES = 10 + RNG.normal(size=(200, 2))
PREDICTED = VALUES + RNG.normal(size=(200, 2))


def _sk(function: Any, *given: Any, **settings: Any) -> float:
    return float(function(*given, **settings))


CASES: list[tuple[Any, Any, Any, float]] = [
    (Accuracy(), ANSWERS, Y, _sk(oracle.accuracy_score, Y, ANSWERS)),
    (BalancedAccuracy(), ANSWERS, Y, _sk(oracle.balanced_accuracy_score, Y, ANSWERS)),
    (CohenKappa("quadratic"), ANSWERS, Y, _sk(oracle.cohen_kappa_score, Y, ANSWERS, weights="quadratic")),
    *[
        (kind(average=average), ANSWERS, Y, _sk(function, Y, ANSWERS, average=average))
        for average in ("micro", "macro", "weighted")
        for kind, function in ((Precision, oracle.precision_score), (Recall, oracle.recall_score))
    ],
    (FBeta(2.0, "weighted"), ANSWERS, Y, _sk(oracle.fbeta_score, Y, ANSWERS, beta=2, average="weighted")),
    (FBeta(1.0, "binary"), ANSWERS_TWO, TWO, _sk(oracle.f1_score, TWO, ANSWERS_TWO)),
    (Recall("binary", 0), ANSWERS_TWO, TWO, _sk(oracle.recall_score, TWO, ANSWERS_TWO, pos_label=0)),
    (LogLoss(), P, Y, _sk(oracle.log_loss, Y, P)),
    (Brier(), P, Y, _sk(oracle.brier_score_loss, Y, P)),
    (TopKAccuracy(2), UNTIED, Y, _sk(oracle.top_k_accuracy_score, Y, UNTIED, k=2)),
    (ECE(7), P, Y, calibration.ece(P, Y, 7)),
    (MCE(7), P, Y, calibration.mce(P, Y, 7)),
    (AdaptiveECE(7), P, Y, calibration.adaptive_ece(P, Y, 7)),
    *[
        (ROCAUC(average, "ovr"), P, Y, _sk(oracle.roc_auc_score, Y, P, multi_class="ovr", average=average))
        for average in ("macro", "weighted", "micro")
    ],
    (ROCAUC("macro", "ovo"), P, Y, _sk(oracle.roc_auc_score, Y, P, multi_class="ovo")),
    (ROCAUC("weighted", "ovo"), P, Y, _sk(oracle.roc_auc_score, Y, P, multi_class="ovo", average="weighted")),
    (ROCAUC(), P[:200, 1], TWO, _sk(oracle.roc_auc_score, TWO, P[:200, 1])),
    (AveragePrecision(), P[:200, 1], TWO, _sk(oracle.average_precision_score, TWO, P[:200, 1])),
    (AveragePrecision("micro"), P, Y, _sk(oracle.average_precision_score, Y, P, average="micro")),
    (MSE(), PREDICTED, VALUES, _sk(oracle.mean_squared_error, VALUES, PREDICTED)),
    (RMSE(), PREDICTED, VALUES, _sk(oracle.root_mean_squared_error, VALUES, PREDICTED)),
    (MAE(), PREDICTED, VALUES, _sk(oracle.mean_absolute_error, VALUES, PREDICTED)),
    (MAPE(), PREDICTED, VALUES, _sk(oracle.mean_absolute_percentage_error, VALUES, PREDICTED)),
    (R2(), PREDICTED, VALUES, _sk(oracle.r2_score, VALUES, PREDICTED)),
    (ExplainedVariance(), PREDICTED, VALUES, _sk(oracle.explained_variance_score, VALUES, PREDICTED)),
    (MaxError(), PREDICTED[:, 0], VALUES[:, 0], _sk(oracle.max_error, VALUES[:, 0], PREDICTED[:, 0])),
    (Pinball(0.9), PREDICTED, VALUES, _sk(oracle.mean_pinball_loss, VALUES, PREDICTED, alpha=0.9)),
    (NDCG(3), P, PARTS[::-1], _sk(oracle.ndcg_score, PARTS[::-1], P, k=3)),
    (PrecisionAtK(2), P, np.eye(K)[Y], retrieval.precision_at_k(P, np.eye(K)[Y], 2)),
    (RecallAtK(2), P, np.eye(K)[Y], retrieval.recall_at_k(P, np.eye(K)[Y], 2)),
    (
        MeanIoU(None, (0,)),
        ANSWERS.reshape(10, -1),
        Y.reshape(10, -1),
        _sk(oracle.jaccard_score, Y, ANSWERS, average="macro", labels=range(1, K)),
    ),
    (
        Dice(0),
        ANSWERS.reshape(10, -1),
        Y.reshape(10, -1),
        _sk(oracle.f1_score, Y[Y > 0], ANSWERS[Y > 0], average="macro", zero_division=0.0),
    ),
    (
        DiceOfImages(None, (0,)),
        ANSWERS.reshape(10, -1),
        Y.reshape(10, -1),
        float(masks.dice_of_images(ANSWERS.reshape(10, -1), Y.reshape(10, -1), None, (0,)).mean()),
    ),
]


@pytest.mark.parametrize(("metric", "predicted", "y", "expected"), CASES, ids=[case[0].key for case in CASES])
def test_parameters_reach_the_number(metric: Any, predicted: Any, y: Any, expected: float) -> None:
    assert metric(predicted, y) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert metric.compute(predicted, y) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_keys_tell_metrics_with_other_parameters_apart() -> None:
    keys = {case[0].key for case in CASES}
    assert {"f2_weighted", "f1", "kappa_quadratic", "top_2_accuracy", "roc_auc_ovo", "ndcg_at_3"} <= keys


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize("scheme", ["bio", "iobes"])
def test_entity_f1_equals_seqeval(average: Any, scheme: Any) -> None:
    alphabet = ["O", "B-A", "I-A", "B-B", "I-B", *(["S-A", "E-A", "E-B"] if scheme == "iobes" else [])]
    y = [[alphabet[i] for i in RNG.integers(len(alphabet), size=8)] for _ in range(50)]
    predicted = [[tag if RNG.random() < 0.8 else "O" for tag in tags] for tags in y]
    theirs = sequences.f1_score(
        y, predicted, average=average, mode="strict", scheme=schemes.IOB2 if scheme == "bio" else schemes.IOBES
    )
    assert EntityF1(scheme, average)(predicted, y) == pytest.approx(theirs, abs=1e-12)


def test_r2_of_targets_far_from_zero_loses_no_digits_however_it_is_cut() -> None:
    """Sums of squares in float64 would be wrong in the first digit here."""
    y = 1e9 + RNG.normal(size=1000)
    value = y + 0.3 * RNG.normal(size=1000)
    reference = oracle.r2_score(y - 1e9, value - 1e9)
    stream = R2().stream()
    for part in np.array_split(np.arange(1000), 13):
        stream.update(value[part], y[part])
    assert stream.compute() == R2()(value, y) == pytest.approx(reference, abs=1e-12)


def test_a_recipes_words_build_a_metric() -> None:
    metric = registry.build("metric", "f_beta", {"beta": 2, "average": "binary"})
    assert isinstance(metric, FBeta) and metric.key == "f2"
    with pytest.raises(LamplighterError, match="beta: Input should be greater than 0"):
        registry.build("metric", "f_beta", {"beta": 0})


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="no micro average"):
        ROCAUC("micro", "ovo")
    with pytest.raises(DataError, match="compares class indices: whole numbers, not float64"):
        Accuracy()(np.array([0.2]), np.array([0]))
    with pytest.raises(DataError, match="do not fit"):
        MeanIoU()(np.zeros((1, 2), int), np.zeros((1, 3), int))
    with pytest.raises(DataError, match="do not fit"):
        ECE()(np.zeros((2, 2)), np.zeros(3, int))
