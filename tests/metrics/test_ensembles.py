"""Voting, weights and disagreement: against scikit-learn, scipy and the conditions of optimality."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from sklearn.datasets import load_digits, make_moons
from sklearn.ensemble import BaggingClassifier, VotingClassifier, VotingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from lamplighter.core.errors import DataError, LamplighterError
from lamplighter.core.seeding import generator
from lamplighter.metrics import ensembles

EXACT: dict[str, Any] = {"rtol": 0, "atol": 1e-12}


def answers(members: int, rows: int = 200, classes: int = 4, seed: int = 0) -> list[np.ndarray]:
    return list(generator(seed, "answers").dirichlet(np.ones(classes), size=(members, rows)))


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return x[:600], y[:600]


@pytest.mark.parametrize("weights", [None, [2.0, 1.0, 0.5]])
@pytest.mark.parametrize("method", ["soft", "hard"])
def test_voting_is_scikit_learns(digits: tuple[np.ndarray, np.ndarray], method: Any, weights: Any) -> None:
    x, y = digits
    members = [("tree", DecisionTreeClassifier(max_depth=4, random_state=0)), ("bayes", GaussianNB()),
               ("linear", LogisticRegression(max_iter=50, tol=1.0))]  # fmt: skip
    oracle = VotingClassifier(members, voting=method, weights=weights).fit(x[:300], y[:300])
    found = ensembles.vote([member.predict_proba(x) for member in oracle.estimators_], method, weights)
    assert np.array_equal(found.labels, oracle.predict(x))
    if method == "soft":
        np.testing.assert_allclose(found.probabilities, oracle.predict_proba(x), **EXACT)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, **EXACT)


def test_weighted_is_soft_with_weights() -> None:
    three = answers(3)
    found = ensembles.vote(three, "weighted", [3, 2, 1])
    np.testing.assert_allclose(found.probabilities, (3 * three[0] + 2 * three[1] + three[2]) / 6, **EXACT)


def test_bagged_trees_answer_as_scikit_learns_bag() -> None:
    x, y = make_moons(300, noise=0.3, random_state=0)
    oracle = BaggingClassifier(DecisionTreeClassifier(max_depth=3), 25, random_state=0, oob_score=True).fit(x, y)
    members = [tree.predict_proba(x) for tree in oracle.estimators_]
    np.testing.assert_allclose(ensembles.vote(members).probabilities, oracle.predict_proba(x), **EXACT)
    drawn = np.stack([np.bincount(sample, minlength=300) for sample in oracle.estimators_samples_])
    ours = ensembles.out_of_bag(members, drawn)
    np.testing.assert_allclose(ours, oracle.oob_decision_function_, **EXACT)
    assert np.mean(ours.argmax(axis=1) == y) == oracle.oob_score_


def test_numbers_are_averaged_as_scikit_learns() -> None:
    rng = generator(0, "numbers")
    x, y = rng.normal(size=(80, 3)), rng.normal(size=80)
    members = [("a", Ridge(0.1)), ("b", Ridge(100.0)), ("c", Ridge(1000.0))]
    oracle = VotingRegressor(members, weights=[1, 2, 3]).fit(x, y)
    values = [member.predict(x)[:, None] for member in oracle.estimators_]
    np.testing.assert_allclose(ensembles.average(values, [1, 2, 3])[:, 0], oracle.predict(x), **EXACT)
    np.testing.assert_allclose(ensembles.average(values), np.mean(values, axis=0), **EXACT)


def test_of_equally_many_votes_the_first_class_wins() -> None:
    """Which favours the first classes in ensembles of an even number; the soft vote does not."""
    two = [np.array([[0.1, 0.9, 0.0]]), np.array([[0.6, 0.3, 0.1]])]
    assert ensembles.vote(two, "hard").labels.tolist() == [0]
    assert ensembles.vote(two, "hard").probabilities.tolist() == [[0.5, 0.5, 0.0]]
    assert ensembles.vote(two, "soft").labels.tolist() == [1]
    torn = [np.array([[0.2, 0.4, 0.4]])]  # a member that is torn itself votes for the first
    assert ensembles.vote(torn, "hard").probabilities.tolist() == [[0.0, 1.0, 0.0]]
    p = generator(0, "tie").random((4, 20000))
    four = [np.stack([member, 1 - member], axis=1) for member in p]
    shares = {method: float((ensembles.vote(four, method).labels == 0).mean()) for method in ("soft", "hard")}
    assert shares["hard"] == pytest.approx(11 / 16, abs=0.02)  # P(at least 2 of 4)
    assert shares["soft"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: ensembles.vote(answers(2), "sofft"),
            r"'sofft' \(did you mean 'soft'\?\); known: soft, hard, weighted",
        ),
        (lambda: ensembles.check_method("staking"), r"did you mean 'stacking'\?"),
        (lambda: ensembles.vote(answers(2), "weighted"), "needs weights"),
        (lambda: ensembles.vote(answers(3), "soft", [0.5, 0.5]), "2 weights for 3 members"),
        (lambda: ensembles.average(answers(3), [1.0]), "1 weights for 3 members"),
        (lambda: ensembles.vote(answers(2), "soft", [1.0, -0.1]), "at least 0"),
        (lambda: ensembles.vote(answers(2), "soft", [0.0, 0.0]), "one above 0"),
        (lambda: ensembles.vote(answers(2), "soft", [np.nan, 1.0]), "at least 0"),
        (lambda: ensembles.vote([answers(1)[0], answers(1, rows=7)[0]]), "member 2 answers with shape"),
        (lambda: ensembles.vote([]), "needs members"),
        (lambda: ensembles.out_of_bag(answers(2), np.zeros((3, 200))), "do not fit"),
        (lambda: ensembles.fit_weights(answers(2), np.zeros(7, int)), "do not fit"),
        (lambda: ensembles.fit_weights(answers(2), np.full(200, 4)), "4"),
        (lambda: ensembles.fit_average_weights(answers(2), np.full((200, 4), np.nan)), "no row has a target"),
        (lambda: ensembles.fit_average_weights(answers(2), np.zeros((200, 3))), "do not fit"),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(LamplighterError, match=words) as caught:
        call()
    assert isinstance(caught.value, DataError) or "known" in words or "mean" in words


def skilled(members: int, rows: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Members of different skill; the last one knows nothing."""
    rng = generator(seed, "skilled")
    y = rng.integers(3, size=rows)
    parts = []
    for member in range(members):
        logits = rng.normal(size=(rows, 3))
        logits[np.arange(rows), y] += 1.5 * (members - 1 - member) / members
        parts.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    return parts, y


@pytest.mark.parametrize("seed", range(5))
def test_fitted_weights_are_optimal(seed: int) -> None:
    """For a convex loss on the simplex: no member has a gradient below the common one of those that have weight."""
    members, y = skilled(6, 300, seed)
    weights = ensembles.fit_weights(members, y)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    true = np.stack([member[np.arange(300), y] for member in members], axis=1)
    gain = (true / (true @ weights)[:, None]).mean(axis=0)  # minus the gradient
    assert gain.max() <= 1 + 1e-6  # 1e-6 bounds how much log-loss is left to win
    np.testing.assert_allclose(gain[weights > 0], 1, atol=1e-6)
    em = np.full(6, 1 / 6)  # an independent solver of the same problem: expectation maximisation
    for _ in range(5000):
        em *= (true / (true @ em)[:, None]).mean(axis=0)
    assert -np.log(true @ weights).mean() <= -np.log(true @ em).mean() + 1e-9
    np.testing.assert_allclose(weights, em, atol=2e-3)


def test_fitted_weights_beat_equal_ones_on_rows_they_have_not_seen() -> None:
    for seed in range(5):
        members, y = skilled(5, 4000, seed)
        weights = ensembles.fit_weights([member[:2000] for member in members], y[:2000])
        new, rest = [member[2000:] for member in members], y[2000:]
        losses = [-np.log(ensembles.vote(new, "soft", w).probabilities[np.arange(2000), rest]).mean()
                  for w in (weights, None)]  # fmt: skip
        assert losses[0] < losses[1] - 0.02
        assert weights[0] > weights[-1]


@pytest.mark.parametrize("seed", range(3))
def test_fitted_average_weights_are_optimal(seed: int) -> None:
    rng = generator(seed, "average")
    y = rng.normal(size=(200, 2)) * [1.0, 1e6]  # units do not matter
    members = [y + rng.normal(size=y.shape) * [s, s * 1e6] + bias for s, bias in ((0.5, 0.1), (1.0, 0.0), (3.0, 2.0))]
    y[::7, 0] = np.nan
    weights = ensembles.fit_average_weights(members, y)
    scale = np.nanstd(y, axis=0)

    def slope(w: np.ndarray) -> np.ndarray:
        errors = [(member - y) / scale for member in members]
        mixed = np.tensordot(w, errors, axes=1)
        return np.array([np.nanmean(mixed * error) for error in errors])

    gradient = slope(weights)
    np.testing.assert_allclose(gradient[weights > 0], gradient @ weights, rtol=1e-5)
    assert gradient.min() >= gradient @ weights - 1e-6
    assert weights[0] > weights[1] > weights[2]


def test_uncertainty_is_entropy_and_jensen_shannon_divergence() -> None:
    two = answers(2)
    found = ensembles.uncertainty(two)
    mean = (two[0] + two[1]) / 2
    np.testing.assert_allclose(found.entropy, entropy(mean, axis=1), **EXACT)
    # mutual information of two equally likely members is the Jensen-Shannon divergence; scipy gives its root
    np.testing.assert_allclose(found.mutual_information, jensenshannon(two[0], two[1], axis=1) ** 2, **EXACT)
    np.testing.assert_allclose(found.variance, ((two[0] - two[1]) ** 2).sum(axis=1) / 4, **EXACT)
    assert np.array_equal(found.agreed, two[0].argmax(axis=1) == two[1].argmax(axis=1))


def test_uncertainty_of_weighted_members_splits_in_two() -> None:
    three, w = answers(3), np.array([0.5, 0.3, 0.2])
    found = ensembles.uncertainty(three, w)
    expected = sum(weight * entropy(member, axis=1) for weight, member in zip(w, three))
    np.testing.assert_allclose(found.entropy - found.mutual_information, expected, **EXACT)
    certain = [np.eye(4)[[0, 1]], np.eye(4)[[0, 2]]]  # zeros do not make NaN
    assert ensembles.uncertainty(certain).mutual_information == pytest.approx([0, np.log(2)])
    assert (ensembles.uncertainty([three[0], three[0]]).mutual_information == 0).all()


def test_variance_of_numbers() -> None:
    values = generator(0, "values").normal(size=(4, 10, 2))
    np.testing.assert_allclose(ensembles.variance(list(values)), values.var(axis=0), **EXACT)
    weighted = ensembles.variance(list(values), [1, 1, 2, 0])
    np.testing.assert_allclose(weighted, np.stack([*values[:3], values[2]]).var(axis=0), **EXACT)


def test_a_row_in_every_bag_has_no_answer() -> None:
    found = ensembles.out_of_bag(answers(2, rows=3), np.array([[1, 0, 2], [1, 3, 0]]))
    assert np.isnan(found[0]).all() and not np.isnan(found[1:]).any()


def test_stack_features_stand_member_by_member() -> None:
    two = answers(2, rows=5, classes=3)
    assert np.array_equal(ensembles.stack_features(two, classes=True), np.hstack(two))
    binary = answers(2, rows=5, classes=2)
    assert np.array_equal(ensembles.stack_features(binary, classes=True), np.stack([b[:, 1] for b in binary], axis=1))
    assert np.array_equal(ensembles.stack_features(binary, classes=False), np.hstack(binary))
