"""Where an expected loss comes from: too stiff a model (bias), too nervous a one (variance), or noise.

All functions look at the answers of models that were trained on different training sets, to the same rows.
Legend: R models, N rows, T targets, K classes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from lamplighter.core.errors import DataError


@dataclass(frozen=True)
class Decomposition:
    """An expected loss in parts.

    Attributes:
        loss: mean over models and rows.
        bias: what the average model gets wrong. Without known truth it holds the noise of the targets, too.
        variance: what the models lose by differing from their average. Of the zero-one loss it is the net effect: where
            the average model is wrong, differing helps.
        noise: what no model could get right; None where the truth is not known.
        models: R.
        rows: N.
    """

    loss: float
    bias: float
    variance: float
    noise: float | None
    models: int
    rows: int

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain JSON-compatible data."""
        return asdict(self)


def squared_error(predictions: np.ndarray, y: np.ndarray, truth: np.ndarray | None = None) -> Decomposition:
    """E (y - p)^2 = (f - E p)^2 + Var p + E (y - f)^2 (Geman, Bienenstock and Doursat 1992).

    Bias and variance are unbiased estimates: the mean of R models itself varies by Var p / R, which is taken from the
    bias (an estimate close to 0 can come out below it). Without ``truth`` the parts add up to the loss exactly; with
    it up to chance, for the noise of the rows is independent of the models.

    Args:
        predictions: (R, N) or (R, N, T).
        y: (N,) or (N, T); NaN for a blank, which does not count.
        truth: f, the targets without noise, of the shape of ``y``.

    >>> d = squared_error(np.array([[1.0, 2.0], [3.0, 2.0]]), np.array([2.0, 4.0]))
    >>> d.loss, d.bias, d.variance
    (2.5, 1.5, 1.0)
    """
    predictions, y = _models(predictions), np.asarray(y, dtype=np.float64)
    _same(predictions, y)
    given = ~np.isnan(y)
    mean, variance = predictions.mean(axis=0), predictions.var(axis=0, ddof=1)
    target = y if truth is None else np.asarray(truth, dtype=np.float64)
    bias = (target - mean) ** 2 - variance / len(predictions)
    loss = ((predictions - y) ** 2).mean(axis=0)
    noise = None if truth is None else float(((y - target) ** 2)[given].mean())
    return Decomposition(
        loss=float(loss[given].mean()),
        bias=float(bias[given].mean()),
        variance=float(variance[given].mean()),
        noise=noise,
        models=len(predictions),
        rows=len(y),
    )


def brier(probabilities: np.ndarray, y: np.ndarray) -> Decomposition:
    """The Brier score, sum_k (p_k - [y = k])^2, which is a squared error and falls into the same parts.

    The bias holds the noise of the labels.

    Args:
        probabilities: (R, N, K).
        y: (N,) class indices.
    """
    probabilities = _models(probabilities)
    wanted = np.zeros(probabilities.shape[1:])
    _same(probabilities[..., 0], np.asarray(y))
    wanted[np.arange(len(wanted)), y] = 1
    each, classes = squared_error(probabilities, wanted), len(wanted[0])
    return Decomposition(
        classes * each.loss, classes * each.bias, classes * each.variance, None, len(probabilities), len(wanted)
    )


def zero_one(answers: np.ndarray, y: np.ndarray) -> Decomposition:
    """The share of wrong answers (Domingos 2000, "A Unified Bias-Variance Decomposition").

    The main answer to a row is the most frequent one among the models (of equals the lowest class). The bias is the
    share of rows whose main answer is wrong; the variance adds the chance of leaving a right main answer and takes away
    the chance of reaching the right answer from a wrong one. They add up to the loss exactly, the noise of the labels
    being part of the bias.

    Args:
        answers: (R, N) class indices.
        y: (N,) class indices.

    >>> d = zero_one(np.array([[0, 1, 0], [0, 1, 0], [1, 0, 0]]), np.array([0, 0, 0]))
    >>> d.loss, d.bias, round(abs(d.variance), 4)  # 1/3 is lost by leaving a right 0, 1/3 won by leaving a wrong 1
    (0.3333333333333333, 0.3333333333333333, 0.0)
    """
    answers, y = np.asarray(answers), np.asarray(y)
    if answers.ndim != 2 or len(answers) < 2:
        raise DataError(f"answers of shape {answers.shape}: (models, rows) of at least two models are needed")
    _same(answers, y)
    votes = np.stack([(answers == label).sum(axis=0) for label in range(int(max(answers.max(), y.max())) + 1)])
    main = votes.argmax(axis=0)
    wrong = (answers != y).mean(axis=0)
    biased = main != y
    return Decomposition(
        loss=float(wrong.mean()),
        bias=float(biased.mean()),
        variance=float(np.where(biased, wrong - 1, wrong).mean()),
        noise=None,
        models=len(answers),
        rows=len(y),
    )


def _models(answers: np.ndarray) -> np.ndarray:
    answers = np.asarray(answers, dtype=np.float64)
    if answers.ndim < 2 or len(answers) < 2:
        raise DataError(f"answers of shape {answers.shape}: (models, rows, ...) of at least two models are needed")
    return answers


def _same(answers: np.ndarray, y: np.ndarray) -> None:
    if answers.shape[1:] != y.shape:
        raise DataError(f"answers of shape {answers.shape} do not fit targets of shape {y.shape}")
