"""Log-loss, Brier and top-k against scikit-learn; `metrics` and `scores` as the rest of the program uses them."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn import metrics as oracle

from lamplighter.core.errors import DataError
from lamplighter.metrics import classification
from lamplighter.metrics.calibration import softmax
from lamplighter.metrics.classification import brier, log_loss, metrics, scores, top_k_accuracy

KEYS = ["loss", "accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "brier", "ece"]
Y_TRUE = np.array([1, 0, 1, 1, 0, 1, 0, 0])
PROBABILITY = np.array([0.9, 0.1, 0.8, 0.6, 0.3, 0.7, 0.55, 0.2])


def _split(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, k, seed])
    z = 2 * rng.normal(size=(n, k))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    y[:k] = np.arange(k)
    return softmax(z), y


def test_the_source_texts_example() -> None:
    p = np.stack([1 - PROBABILITY, PROBABILITY], axis=1)
    values = metrics(p, Y_TRUE)
    assert list(values) == KEYS
    assert (values["accuracy"], values["roc_auc"]) == (0.875, 1.0)
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
        "f1_macro": oracle.f1_score(y, p.argmax(axis=1), average="macro"),
        "roc_auc": auc,
        "brier": oracle.brier_score_loss(y, p[:, 1] if k == 2 else p, labels=np.arange(k)),
    }
    values = metrics(p, y)
    for name, expected in reference.items():
        assert values[name] == pytest.approx(expected, abs=1e-12), name
    for top in range(1, k if k > 2 else 1):
        theirs = oracle.top_k_accuracy_score(y, p, k=top, labels=np.arange(k))
        assert top_k_accuracy(p, y, top) == pytest.approx(theirs, abs=1e-12)


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
    assert list(metrics(p, y)) == KEYS and np.isnan(list(metrics(p, y).values())).all()
    assert np.isnan([log_loss(p, y), brier(p, y), top_k_accuracy(p, y)]).all()
    assert scores(p, y) == {}


def test_one_class_leaves_only_the_auc_undefined() -> None:
    p, y = np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([1, 1])
    values = metrics(p, y)
    assert [name for name in KEYS if np.isnan(values[name])] == ["roc_auc"]
    assert list(scores(p, y)) == [name for name in KEYS if name != "roc_auc"]


def test_a_single_column_and_a_single_row_do_not_crash() -> None:
    assert metrics(np.ones((3, 1)), np.zeros(3, dtype=int))["accuracy"] == 1.0
    assert scores(np.array([[0.2, 0.8]]), np.array([0]))["accuracy"].value == 0.0


def test_a_diverged_models_nan_is_passed_on_and_not_scored() -> None:
    p, y = np.full((4, 3), np.nan), np.array([0, 1, 2, 0])
    values = metrics(p, y)
    assert np.isnan([values["loss"], values["brier"], values["ece"], values["roc_auc"]]).all()
    assert not {"loss", "brier", "ece", "roc_auc"} & set(scores(p, y))


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
    assert list(found) == KEYS
    for name, score in found.items():
        assert score.n == n and score.low <= score.high, name
        assert score.value == metrics(p, y)[name]
        if name not in ("balanced_accuracy", "f1_macro"):  # means over classes, some absent in a resample: lower
            assert score.low <= score.value <= score.high, name
        if name != "loss" and not (name == "brier" and k > 2):
            assert min(score.low, 1 - score.high) >= 0, name
    assert found == scores(p, y, seed=1)
    assert found["loss"] != scores(p, y, seed=2)["loss"]
    assert found["accuracy"] == scores(p, y, seed=2)["accuracy"]  # Wilson draws nothing


def test_intervals_agree_with_a_bootstrap_that_recomputes_every_metric() -> None:
    p, y = _split(600, 3, 0)
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
def test_ten_thousand_rows_of_ten_classes_are_scored_within_a_second() -> None:
    p, y = _split(10_000, 10, 0)
    best = min(_seconds(p, y) for _ in range(3))
    assert best < 1


def _seconds(p: np.ndarray, y: np.ndarray) -> float:
    start = time.perf_counter()
    classification.scores(p, y)
    return time.perf_counter() - start
