"""Several models' answers to the same rows become one, with a number for how far the models disagree.

Legend: M members, N rows, K classes, T targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from lamplighter.core.errors import DataError, LamplighterError
from lamplighter.core.registry import did_you_mean
from lamplighter.metrics.confusion import check_classes

Method = Literal["soft", "hard", "weighted", "stacking"]
METHODS: tuple[str, ...] = get_args(Method)
"""``soft``: mean of the probabilities (of numbers: their mean). ``hard``: each member has one vote. ``weighted``: soft
with weights fitted on validation rows. ``stacking``: a linear model over the members' answers."""

_TINY = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Vote:
    """What an ensemble answers.

    Attributes:
        probabilities: (N, K) rows summing to 1; of a hard vote each class's share of the votes.
        labels: (N,) class indices.
    """

    probabilities: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Uncertainty:
    """How sure an ensemble is of each row, in nats, and why not.

    Attributes:
        entropy: (N,) of the mean probabilities: all of the uncertainty.
        mutual_information: (N,) entropy of the mean less mean entropy of the members (BALD, Houlsby et al. 2011):
            the part that comes from disagreement, which more data would settle.
        variance: (N,) of the members' probabilities, summed over the classes.
        agreed: (N,) whether all members answer the same class.
    """

    entropy: np.ndarray
    mutual_information: np.ndarray
    variance: np.ndarray
    agreed: np.ndarray


def vote(members: Sequence[np.ndarray], method: str = "soft", weights: Sequence[float] | None = None) -> Vote:
    """Combine class probabilities.

    ``soft`` answers the class with the largest mean probability. ``hard`` answers the class that most members answer;
    when several have equally many votes, the first of them in the order of the classes, as scikit-learn does (so an
    even number of members favours the first classes). ``weighted`` is soft with weights that must be given.

    Args:
        members: M arrays (N, K).
        method: ``soft``, ``hard`` or ``weighted``.
        weights: one for each member, at least 0; None: all equal.

    Raises:
        LamplighterError: no such method.
        DataError: shapes that differ, or weights that do not fit.

    >>> three = [np.array([[0.9, 0.1]]), np.array([[0.4, 0.6]]), np.array([[0.4, 0.6]])]
    >>> vote(three, "soft").labels, vote(three, "hard").labels, vote(three, "hard").probabilities.round(2)
    (array([0]), array([1]), array([[0.33, 0.67]]))
    """
    check_method(method, ("soft", "hard", "weighted"))
    p_MNK = stacked(members)
    if method == "weighted" and weights is None:
        raise DataError("weighted voting needs weights; fit_weights finds them on validation rows")
    w_M = normalised(weights, len(p_MNK))
    if method == "hard":
        p_MNK = np.eye(p_MNK.shape[2])[p_MNK.argmax(axis=2)]
    mean_NK = np.tensordot(w_M, p_MNK, axes=1)
    return Vote(mean_NK, mean_NK.argmax(axis=1))


def average(members: Sequence[np.ndarray], weights: Sequence[float] | None = None) -> np.ndarray:
    """Mean of predicted numbers, (N, T).

    Args:
        members: M arrays (N, T).
        weights: one for each member, at least 0; None: all equal.

    >>> average([np.array([[1.0]]), np.array([[4.0]])], [2, 1])
    array([[2.]])
    """
    values_MNT = stacked(members)
    return np.tensordot(normalised(weights, len(values_MNT)), values_MNT, axes=1)


def fit_weights(members: Sequence[np.ndarray], y: np.ndarray) -> np.ndarray:
    """Weights, at least 0 and summing to 1, of the soft vote with the smallest log-loss. Fit them on validation rows.

    The problem is convex: -mean log sum_m w_m p_m(true class) over the simplex. Members that add nothing get 0.

    Args:
        members: M arrays of probabilities (N, K).
        y: (N,) class indices.

    Returns:
        (M,) weights.

    >>> sure, unsure = np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([[0.5, 0.5], [0.5, 0.5]])
    >>> fit_weights([sure, unsure], np.array([0, 0])), fit_weights([sure, unsure], np.array([0, 1]))
    (array([1., 0.]), array([0., 1.]))
    """
    p_MNK, y = stacked(members), np.asarray(y, dtype=np.int64)
    if y.shape != p_MNK.shape[1:2] or not len(y):
        raise DataError(f"probabilities of {p_MNK.shape[1]} rows do not fit targets of shape {y.shape}")
    check_classes(y, p_MNK.shape[2])
    true_NM = np.clip(p_MNK[:, np.arange(len(y)), y].T, _TINY, 1)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.maximum(true_NM @ w, _TINY)
        return -float(np.log(mixed).mean()), -(true_NM / mixed[:, None]).mean(axis=0)

    return _on_simplex(loss, len(p_MNK))


def fit_average_weights(members: Sequence[np.ndarray], y: np.ndarray) -> np.ndarray:
    """Weights, at least 0 and summing to 1, of the mean with the smallest squared error. Fit them on validation rows.

    Args:
        members: M arrays of predicted numbers (N, T).
        y: (N, T), NaN for a blank. Every target counts alike, whatever its unit.

    Returns:
        (M,) weights.

    >>> y = np.array([[1.0], [2.0], [3.0]])
    >>> fit_average_weights([y + 1, y - 3], y)
    array([0.75, 0.25])
    """
    values_MNT, y = stacked(members), np.asarray(y, dtype=np.float64)
    if y.shape != values_MNT.shape[1:]:
        raise DataError(f"predictions of shape {values_MNT.shape[1:]} do not fit targets of shape {y.shape}")
    given = ~np.isnan(y)
    if not given.any():
        raise DataError("weights cannot be fitted: no row has a target")
    errors_EM = ((values_MNT - np.where(given, y, 0)) / scale_of(y))[:, given].T
    products_MM = errors_EM.T @ errors_EM / len(errors_EM)
    products_MM /= max(float(np.abs(products_MM).max()), _TINY)  # the solver's tolerance is absolute
    return _on_simplex(lambda w: (float(w @ products_MM @ w) / 2, products_MM @ w), len(values_MNT))


def uncertainty(members: Sequence[np.ndarray], weights: Sequence[float] | None = None) -> Uncertainty:
    """How far an ensemble can be trusted on each row.

    Args:
        members: M arrays of probabilities (N, K).
        weights: of the members; None: all equal.

    >>> split = uncertainty([np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])])
    >>> both = uncertainty([np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]])])
    >>> split.entropy.round(4), split.mutual_information.round(4), both.entropy.round(4), both.mutual_information
    (array([0.6931]), array([0.6931]), array([0.6931]), array([0.]))
    """
    p_MNK = stacked(members)
    w_M = normalised(weights, len(p_MNK))
    mean_NK = np.tensordot(w_M, p_MNK, axes=1)
    entropy_N = _entropy(mean_NK)
    labels_MN = p_MNK.argmax(axis=2)
    return Uncertainty(
        entropy=entropy_N,
        mutual_information=np.maximum(entropy_N - w_M @ _entropy(p_MNK), 0.0),  # what rounding leaves below 0 is 0
        variance=np.tensordot(w_M, (p_MNK - mean_NK) ** 2, axes=1).sum(axis=1),
        agreed=(labels_MN == labels_MN[0]).all(axis=0),
    )


def variance(members: Sequence[np.ndarray], weights: Sequence[float] | None = None) -> np.ndarray:
    """Variance of the members' numbers around their mean, (N, T), in squared units.

    >>> variance([np.array([[1.0]]), np.array([[3.0]])])
    array([[1.]])
    """
    values_MNT = stacked(members)
    w_M = normalised(weights, len(values_MNT))
    return np.tensordot(w_M, (values_MNT - np.tensordot(w_M, values_MNT, axes=1)) ** 2, axes=1)


def out_of_bag(members: Sequence[np.ndarray], drawn: np.ndarray) -> np.ndarray:
    """Mean of each row's answers over the members that were not trained on it, (N, K).

    Args:
        members: M arrays of probabilities (N, K) or numbers (N, T).
        drawn: (M, N) how often each member's bootstrap sample holds each row.

    Returns:
        NaN in rows that every member was trained on.

    >>> out_of_bag([np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]])], np.array([[0, 1], [0, 2]]))
    array([[ 2.],
           [nan]])
    """
    answers_MNK, unseen_MN = stacked(members), np.asarray(drawn) == 0
    if unseen_MN.shape != answers_MNK.shape[:2]:
        raise DataError(f"counts of shape {unseen_MN.shape} do not fit answers of shape {answers_MNK.shape}")
    votes_N = unseen_MN.sum(axis=0)
    total_NK = (answers_MNK * unseen_MN[:, :, None]).sum(axis=0)
    return np.where(votes_N[:, None] > 0, total_NK / np.maximum(votes_N, 1)[:, None], np.nan)


def scale_of(y: np.ndarray) -> np.ndarray:
    """(T,) standard deviation of each target over its rows that are not blank; 1 where it has none.

    >>> scale_of(np.array([[1.0, 5.0], [3.0, np.nan]]))
    array([1., 1.])
    """
    given = ~np.isnan(y)
    count = np.maximum(given.sum(axis=0), 1)
    mean = np.where(given, y, 0).sum(axis=0) / count
    spread = np.sqrt((np.where(given, y - mean, 0) ** 2).sum(axis=0) / count)
    return np.where(spread > 0, spread, 1.0)


def stack_features(members: Sequence[np.ndarray], classes: bool) -> np.ndarray:
    """What a stacker sees: the members' answers side by side, (N, F).

    Of two classes the second's probability says it all, so the first's is left out.

    Args:
        members: M arrays of probabilities (N, K) or numbers (N, T).
        classes: whether they are probabilities.

    >>> stack_features([np.array([[0.9, 0.1]]), np.array([[0.4, 0.6]])], classes=True)
    array([[0.1, 0.6]])
    """
    answers_MNK = stacked(members)
    if classes and answers_MNK.shape[2] == 2:
        answers_MNK = answers_MNK[:, :, 1:]
    return np.concatenate(list(answers_MNK), axis=1)


def check_method(method: str, known: Sequence[str] = METHODS) -> None:
    """Refuse a misspelt way of combining.

    Raises:
        LamplighterError: with the nearest word.
    """
    if method not in known:
        raise LamplighterError(
            f"no way to combine is called '{method}'{did_you_mean(method, list(known))}; known: {', '.join(known)}"
        )


def normalised(weights: Sequence[float] | None, members: int) -> np.ndarray:
    """(M,) weights that sum to 1.

    Raises:
        DataError: another number of weights than members, one below 0, or all 0.

    >>> normalised([1, 3], 2), normalised(None, 2)
    (array([0.25, 0.75]), array([0.5, 0.5]))
    """
    if weights is None:
        return np.full(members, 1 / members)
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (members,):
        raise DataError(f"{given.size} weights for {members} members; give one for each")
    if not np.isfinite(given).all() or given.min() < 0 or given.sum() == 0:
        raise DataError(f"weights {given.tolist()}: each must be a number of at least 0, and one above 0")
    return given / given.sum()


def stacked(members: Sequence[np.ndarray]) -> np.ndarray:
    """(M, N, K) float64.

    Raises:
        DataError: no member, or shapes that differ.
    """
    arrays = [np.asarray(member, dtype=np.float64) for member in members]
    if not arrays:
        raise DataError("an ensemble needs members")
    odd = next((i for i, array in enumerate(arrays) if array.shape != arrays[0].shape or array.ndim != 2), None)
    if odd is not None:
        raise DataError(
            f"member {odd + 1} answers with shape {arrays[odd].shape}, member 1 with {arrays[0].shape}; all members "
            "need the same rows and classes: (N, K)"
        )
    return np.stack(arrays)


def _entropy(p: np.ndarray) -> np.ndarray:
    """-sum_k p log p over the last axis, with 0 log 0 = 0."""
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=-1)


def _on_simplex(loss: Callable[[np.ndarray], tuple[float, np.ndarray]], members: int) -> np.ndarray:
    """The w >= 0 with sum 1 where a convex loss (value, gradient) is smallest."""
    from scipy.optimize import minimize

    solve: Any = minimize  # its stubs know no loss that comes with its gradient
    found = solve(
        loss,
        np.full(members, 1 / members),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones_like(w)},
        options={"ftol": 1e-14, "maxiter": 1000},
    ).x
    weights = np.where(found < 1e-7, 0.0, found)
    rounded: np.ndarray = weights / weights.sum()
    return rounded
