"""What can be said of an ensemble besides its scores, and the linear model of stacking.

Legend: M members, N rows, K classes, T targets, F inputs of the stacker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lamplighter.data.source import Rows
from lamplighter.metrics import ensembles
from lamplighter.metrics.calibration import softmax
from lamplighter.metrics.ranking import roc_auc
from lamplighter.metrics.score import Score
from lamplighter.tasks.base import Task
from lamplighter.tasks.ensemble import Ensemble
from lamplighter.train.evaluation import evaluate

_TINY = float(np.finfo(np.float64).tiny)
_NEVER = -30.0  # logit of a class that no row of the stacker had


@dataclass(frozen=True)
class Diversity:
    """How far the members of an ensemble disagree, and whether that warns of mistakes.

    Attributes:
        members: M.
        numbers: of classes: share of rows on which all members ``agreed``, ``accuracy_agreed`` and
            ``accuracy_disagreed`` of the ensemble on those and on the others, means over the rows of ``entropy``,
            ``mutual_information`` (nats) and ``variance``, and ``error_auc``: how well the mutual information puts
            wrong answers before right ones (0.5: not at all). Of numbers: ``deviation`` of the members around their
            mean in standard deviations of the target, and ``error_correlation``, Spearman's, between it and the
            size of the error. What these rows do not define is missing.
    """

    members: int
    numbers: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        return {"members": self.members, **self.numbers}

    def sentences(self) -> list[str]:
        """For a person."""
        found, sentences = self.numbers, []
        if "agreed" in found:
            parts = [f"all {self.members} members agree on {found['agreed']:.1%} of the rows"]
            if "accuracy_agreed" in found:
                parts.append(f"where {found['accuracy_agreed']:.1%} of the answers are right")
            sentence = ", ".join(parts)
            if "accuracy_disagreed" in found:
                sentence += f"; on the others {found['accuracy_disagreed']:.1%} are"
            sentences.append(sentence)
        if "error_auc" in found:
            sentences.append(
                f"disagreement (mutual information) ranks wrong answers first with ROC AUC {found['error_auc']:.3f}"
            )
        if "deviation" in found:
            sentence = (
                f"the {self.members} members differ by {found['deviation']:.3f} standard deviations of the target"
            )
            if "error_correlation" in found:
                sentence += f"; rank correlation with the error {found['error_correlation']:.3f}"
            sentences.append(sentence)
        return sentences


@dataclass(frozen=True)
class OutOfBag:
    """Scores of a bagged ensemble on training rows, each judged only by the members whose sample lacks it.

    Close to the score on new rows, though every row has but some 37% of the members. It costs no rows for testing.

    Attributes:
        scores: by name.
        rows: of the training split that some member never saw.
    """

    scores: dict[str, Score]
    rows: int

    def to_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "scores": {name: score.model_dump() for name, score in self.scores.items()}}

    def sentences(self) -> list[str]:
        """For a person."""
        shown = ", ".join(f"{name} {self.scores[name].value:.4f}" for name in list(self.scores)[:2])
        return [f"out of the bag ({self.rows:,} training rows, judged by members that never saw them): {shown}"]


def diversity(members: Sequence[Mapping[str, np.ndarray]], ensemble: Mapping[str, np.ndarray]) -> Diversity:
    """How far members disagree.

    Args:
        members: what each answers to the same rows: ``logits`` (N, K) or ``value`` (N, T), and ``y``.
        ensemble: what they answer together.
    """
    if "logits" in ensemble:
        found = ensembles.uncertainty([softmax(member["logits"]) for member in members])
        right = ensemble["logits"].argmax(axis=1) == ensemble["y"]
        numbers = {
            "agreed": found.agreed.mean(),
            "accuracy_agreed": right[found.agreed].mean() if found.agreed.any() else np.nan,
            "accuracy_disagreed": right[~found.agreed].mean() if not found.agreed.all() else np.nan,
            "entropy": found.entropy.mean(),
            "mutual_information": found.mutual_information.mean(),
            "variance": found.variance.mean(),
            "error_auc": roc_auc(found.mutual_information, ~right),
        }
    else:
        y = np.asarray(ensemble["y"], dtype=np.float64)
        scale = ensembles.scale_of(y)
        deviation = np.sqrt(ensembles.variance([member["value"] for member in members])) / scale
        error = np.abs(ensemble["value"] - y) / scale
        given = ~np.isnan(error)
        numbers = {
            "deviation": deviation.mean(),
            "error_correlation": _rank_correlation(deviation[given], error[given]),
        }
    return Diversity(len(members), {name: float(value) for name, value in numbers.items() if np.isfinite(value)})


def out_of_bag(task: Ensemble, rows: Rows, batch_size: int, device: torch.device) -> OutOfBag:
    """Judge a bagged ensemble without new rows.

    Args:
        task: with ``bagging``, on ``device``.
        rows: the training split it was trained on.
        batch_size: rows at a time.
        device: where to compute.
    """
    assert task.counts_MN is not None
    outputs, positions = _of_members(task.tasks, rows, batch_size, device)
    drawn_MN = task.counts_MN.numpy()[:, positions]
    name = "logits" if task.classes else "value"
    answers = [softmax(output[name]) if task.classes else output[name] for output in outputs]
    mean = ensembles.out_of_bag(answers, drawn_MN)
    judged = ~np.isnan(mean).any(axis=1)
    combined = np.log(np.maximum(mean[judged], _TINY)) if task.classes else mean[judged]
    scores = task.scores({name: combined, "y": outputs[0]["y"][judged]})
    return OutOfBag(scores, int(judged.sum()))


def fit_stacker(members: Sequence[np.ndarray], y: np.ndarray, classes: bool) -> tuple[np.ndarray, np.ndarray]:
    """The linear model that combines members' answers, as scikit-learn's StackingClassifier and StackingRegressor do.

    Classes: logistic regression (L2, C = 1) over the probabilities. Numbers: ridge regression, its strength chosen by
    leave-one-out. The answers must be out of fold: each row answered by members that were not trained on it. Fitted on
    rows that the members know, the stacker trusts those that learned by heart.

    Args:
        members: M arrays of out-of-fold probabilities (N, K) or numbers (N, T).
        y: (N,) class indices, or (N, T) numbers; rows with a blank (-1, NaN) are left out.
        classes: which of the two.

    Returns:
        weight (K, F) and bias (K,), or (T, F) and (T,): logits, or numbers, are features @ weight.T + bias.
    """
    features = ensembles.stack_features(members, classes)
    y = np.asarray(y)
    given = y >= 0 if classes else ~np.isnan(y.reshape(len(y), -1)).any(axis=1)
    if not classes:
        from sklearn.linear_model import RidgeCV

        targets = y.reshape(len(y), -1)[given]
        ridge = RidgeCV().fit(features[given], targets)
        return np.atleast_2d(ridge.coef_).reshape(targets.shape[1], -1), np.atleast_1d(ridge.intercept_)
    from sklearn.linear_model import LogisticRegression

    found = LogisticRegression(max_iter=10_000).fit(features[given], y[given])
    width = members[0].shape[1]
    weight, bias = np.zeros((width, features.shape[1])), np.full(width, _NEVER)
    if len(found.classes_) == 2:  # one score: the log odds of the second class
        first, second = found.classes_
        weight[second], bias[first], bias[second] = found.coef_[0], 0.0, found.intercept_[0]
    else:
        weight[found.classes_], bias[found.classes_] = found.coef_, found.intercept_
    return weight, bias


def _of_members(
    tasks: Sequence[Task], rows: Rows, batch_size: int, device: torch.device
) -> tuple[list[dict[str, np.ndarray]], np.ndarray]:
    """Outputs of each task on the same rows, and the rows' positions."""
    found = [evaluate(task, rows, batch_size, device) for task in tasks]
    return [outputs for outputs, _ in found], found[0][1]


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)
