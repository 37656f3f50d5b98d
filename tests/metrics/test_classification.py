"""Log-loss, Brier and top-k against scikit-learn; `metrics` and `scores` as the rest of the program uses them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from lamplighter.core.errors import DataError
from lamplighter.metrics.calibration import softmax
from lamplighter.metrics.classification import brier, log_loss, metrics, scores, top_k_accuracy

COUNTED = ["accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro", "mcc", "kappa"]
BINARY = ["precision", "recall", "f1", "average_precision"]
KEYS = ["loss", *COUNTED, "roc_auc", "brier", "ece"]
Y_TRUE = np.array([1, 0, 1, 1, 0, 1, 0, 0])
PROBABILITY = np.array([0.9, 0.1, 0.8, 0.6, 0.3, 0.7, 0.55, 0.2])


def _split(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, k, seed])
    z = 2 * rng.normal(size=(n, k))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    y[:k] = np.arange(k)
    return softmax(z), y


def _keys(k: int) -> list[str]:
    return [*KEYS[:-3], *(BINARY if k == 2 else []), *KEYS[-3:]]


def test_the_source_texts_example() -> None:
    p = np.stack([1 - PROBABILITY, PROBABILITY], axis=1)
    values = metrics(p, Y_TRUE)
    assert list(values) == _keys(2)
    assert (values["accuracy"], values["roc_auc"], values["average_precision"]) == (0.875, 1.0, 1.0)
    assert (values["precision"], values["recall"]) == (0.8, 1.0)
    assert (round(values["brier"], 4), round(values["loss"], 4)) == (0.0928, 0.3350)


@pytest.mark.parametrize(("n", "k"), [(10, 2), (500, 2), (60, 3), (2000, 10)])
@pytest.mark.parametrize("seed", range(4))
def test_equals_scikit_learn(n: int, k: int, seed: int) -> None:
    p, y = _split(n, k, seed)
    auc = oracle.roc_auc_score(y, p[:, 1]) if k == 2 else oracle.roc_auc_score(y, p, multi_class="ovr")
    reference = {
        "loss": oracle.log_loss(y, p, labels=np.arange(k)),
        "accuracy": oracle.accuracy_score(y, p.argmax(axis=1)),
        "balanced_accuracy": oracle.balanced_accuracy_score(y, p.argmax(axis=1)),
        "precision_macro": oracle.precision_score(y, p.argmax(axis=1), average="macro", zero_division=0.0),
        "recall_macro": oracle.recall_score(y, p.argmax(axis=1), average="macro"),
        "f1_macro": oracle.f1_score(y, p.argmax(axis=1), average="macro"),
        "mcc": oracle.matthews_corrcoef(y, p.argmax(axis=1)),
        "kappa": oracle.cohen_kappa_score(y, p.argmax(axis=1)),
        "roc_auc": auc,
        "brier": oracle.brier_score_loss(y, p[:, 1] if k == 2 else p, labels=np.arange(k)),
    }
    if k == 2:
        reference |= {
            "precision": oracle.precision_score(y, p.argmax(axis=1)),
            "recall": oracle.recall_score(y, p.argmax(axis=1)),
            "f1": oracle.f1_score(y, p.argmax(axis=1)),
            "average_precision": oracle.average_precision_score(y, p[:, 1]),
        }
    values = metrics(p, y)
    assert values.keys() - {"ece"} == reference.keys()
    for name, expected in reference.items():
        assert values[name] == pytest.approx(expected, abs=1e-12), name
    for top in range(1, k if k > 2 else 1):
        theirs = oracle.top_k_accuracy_score(y, p, k=top, labels=np.arange(k))
        assert top_k_accuracy(p, y, top) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("k", [2, 5])
def test_row_weights_equal_scikit_learn(k: int) -> None:
    p, y = _split(150, k, 0)
    weight = np.random.default_rng(k).random(150)
    settings = {"labels": np.arange(k), "sample_weight": weight}
    assert log_loss(p, y, weight) == pytest.approx(oracle.log_loss(y, p, **settings), abs=1e-12)
    theirs = oracle.brier_score_loss(y, p[:, 1] if k == 2 else p, **settings)
    assert brier(p, y, weight) == pytest.approx(theirs, abs=1e-12)
    theirs = oracle.accuracy_score(y, p.argmax(axis=1), sample_weight=weight)
    assert top_k_accuracy(p, y, 1, weight) == pytest.approx(theirs, abs=1e-12)
    assert np.isnan(log_loss(p, y, np.zeros(150)))


def test_answers_other_than_the_most_probable_change_what_counts_answers_only() -> None:
    p, y = _split(400, 2, 1)
    answers = (p[:, 1] >= 0.2).astype(int)
    usual, tuned = metrics(p, y), metrics(p, y, answers)
    assert tuned["recall"] == oracle.recall_score(y, answers) > usual["recall"]
    assert tuned["f1_macro"] == pytest.approx(oracle.f1_score(y, answers, average="macro"), abs=1e-12)
    for name in ("loss", "average_precision", "roc_auc", "brier", "ece"):
        assert tuned[name] == usual[name]
    found = scores(p, y, answers=answers)
    assert {name: score.value for name, score in found.items()} == tuned
    assert found["recall"].n == (y == 1).sum() and found["precision"].n == (answers == 1).sum()


def test_the_positive_class_may_be_the_first() -> None:
    p, y = _split(300, 2, 2)
    values = metrics(p, y, positive=0)
    assert values["f1"] == pytest.approx(oracle.f1_score(y, p.argmax(axis=1), pos_label=0), abs=1e-12)
    ap = oracle.average_precision_score(y == 0, p[:, 0])
    assert values["average_precision"] == pytest.approx(ap, abs=1e-12)
    found = scores(p, y, positive=0)
    assert found["recall"].n == (y == 0).sum() and found["average_precision"].low < ap < found["average_precision"].high


def test_nothing_answered_with_the_positive_class_has_no_precision_to_report() -> None:
    p, y = np.array([[0.8, 0.2]] * 9), np.arange(9) % 2
    assert metrics(p, y)["precision"] == 0.0
    assert "precision" not in scores(p, y) and scores(p, y)["recall"].value == 0.0


def test_certain_mistakes_cost_36_and_not_infinity() -> None:
    p, y = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 1])
    assert log_loss(p, y) == pytest.approx(oracle.log_loss(y, p, labels=[0, 1]), abs=1e-12)
    assert 18 < log_loss(p, y) < 18.1


def test_top_1_is_the_accuracy_when_probabilities_tie() -> None:
    p = np.round(np.random.default_rng(0).dirichlet(np.ones(5), size=300), 1)
    y = np.arange(300) % 5
    assert top_k_accuracy(p, y, 1) == metrics(p, y)["accuracy"]
    assert top_k_accuracy(p, y, 5) == 1.0
    assert top_k_accuracy(p, y, 2) < top_k_accuracy(p, y, 3)


def test_brier_of_two_classes_is_half_the_sum() -> None:
    p, y = _split(100, 2, 0)
    truth = np.eye(2)[y]
    assert brier(p, y) == pytest.approx(((p - truth) ** 2).sum(axis=1).mean() / 2, abs=1e-15)


def test_without_rows_everything_is_nan_and_nothing_is_scored() -> None:
    p, y = np.empty((0, 3)), np.empty(0, dtype=np.int64)
    assert list(metrics(p, y)) == _keys(3) and np.isnan(list(metrics(p, y).values())).all()
    assert np.isnan([log_loss(p, y), brier(p, y), top_k_accuracy(p, y)]).all()
    assert list(metrics(p[:, :2], y)) == _keys(2) and np.isnan(list(metrics(p[:, :2], y).values())).all()
    assert scores(p, y) == {}


def test_one_class_leaves_only_the_auc_undefined() -> None:
    p, y = np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([1, 1])
    values = metrics(p, y)
    assert [name for name in values if np.isnan(values[name])] == ["roc_auc"]
    assert list(scores(p, y)) == [name for name in _keys(2) if name != "roc_auc"]
    right = metrics(p[1:], y[1:])
    assert [name for name in right if np.isnan(right[name])] == ["kappa", "roc_auc"]


def test_a_single_column_and_a_single_row_do_not_crash() -> None:
    assert metrics(np.ones((3, 1)), np.zeros(3, dtype=int))["accuracy"] == 1.0
    assert scores(np.array([[0.2, 0.8]]), np.array([0]))["accuracy"].value == 0.0


def test_a_diverged_models_nan_is_passed_on_and_not_scored() -> None:
    p, y = np.full((4, 3), np.nan), np.array([0, 1, 2, 0])
    values = metrics(p, y)
    assert np.isnan([values["loss"], values["brier"], values["ece"], values["roc_auc"]]).all()
    assert not {"loss", "brier", "ece", "roc_auc"} & set(scores(p, y))
    assert np.isnan(top_k_accuracy(p, y, 2))


@pytest.mark.parametrize(
    ("p", "y"), [(np.zeros((2, 3)), np.array([0])), (np.zeros(3), np.zeros(3)), (np.zeros((2, 3)), np.array([0, 3]))]
)
def test_what_does_not_fit_is_refused(p: np.ndarray, y: np.ndarray) -> None:
    with pytest.raises(DataError):
        metrics(p, y)


@pytest.mark.parametrize(("n", "k"), [(25, 2), (200, 2), (400, 10), (300, 40)])
def test_intervals_hold_their_value_lie_in_range_and_repeat(n: int, k: int) -> None:
    p, y = _split(n, k, 0)
    found = scores(p, y, seed=1)
    assert list(found) == _keys(k)
    for name, score in found.items():
        assert score.n == n or name in ("precision", "recall")
        assert score.low <= score.high, name
        assert score.value == metrics(p, y)[name]
        if name not in COUNTED[1:]:  # means over classes, some absent in a resample: lower
            assert score.low <= score.value <= score.high, name
        if name not in ("loss", "mcc", "kappa") and not (name == "brier" and k > 2):
            assert min(score.low, 1 - score.high) >= 0, name
    assert found == scores(p, y, seed=1)
    assert found["loss"] != scores(p, y, seed=2)["loss"]
    assert found["accuracy"] == scores(p, y, seed=2)["accuracy"]  # Wilson draws nothing


@pytest.mark.parametrize("k", [2, 3])
def test_intervals_agree_with_a_bootstrap_that_recomputes_every_metric(k: int) -> None:
    p, y = _split(600, k, 0)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(400):
        rows = rng.integers(600, size=600)
        drawn.append(metrics(p[rows], y[rows]))
    for name, score in scores(p, y).items():
        if name == "ece":  # deliberately another: see `ece_contributions`
            continue
        low, high = np.quantile([values[name] for values in drawn], [0.025, 0.975])
        assert abs(score.low - low) < 0.2 * (high - low), name
        assert abs(score.high - high) < 0.2 * (high - low), name


def test_a_higher_level_and_fewer_rows_widen_the_interval() -> None:
    p, y = _split(1000, 3, 0)
    usual, sure, few = scores(p, y), scores(p, y, level=0.99), scores(p[:100], y[:100])
    for name in KEYS:
        width = usual[name].high - usual[name].low
        assert sure[name].high - sure[name].low > width, name
        assert few[name].high - few[name].low > width, name


def test_float32_probabilities_are_fine() -> None:
    p, y = _split(300, 4, 0)
    for name, value in metrics(p.astype(np.float32), y).items():
        assert value == pytest.approx(metrics(p, y)[name], abs=1e-6), name


@pytest.mark.slow
def test_an_epochs_metrics_of_ten_thousand_rows_of_ten_classes_take_less_than_fifteen_milliseconds() -> None:
    p, y = _split(10_000, 10, 0)
    assert min(_seconds(metrics, p, y) for _ in range(7)) < 0.015


@pytest.mark.slow
def test_ten_thousand_rows_of_ten_classes_are_scored_within_a_second() -> None:
    p, y = _split(10_000, 10, 0)
    best = min(_seconds(scores, p, y) for _ in range(3))
    assert best < 1


def _seconds(summary: Callable[..., Any], p: np.ndarray, y: np.ndarray) -> float:
    start = time.perf_counter()
    summary(p, y)
    return time.perf_counter() - start
