"""What the report shows of a classification: confusions, calibration, each class, worst errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lamplighter.core.signature import Signature
from lamplighter.evaluate import examples
from lamplighter.evaluate.charts import calibration_chart
from lamplighter.evaluate.glossary import figure
from lamplighter.metrics import confusion as cm
from lamplighter.metrics.calibration import ece, reliability, softmax
from lamplighter.metrics.intervals import wilson

MATRIX_CLASSES = 30
"""Up to so many classes the whole matrix is legible."""
_PAIRS = 30
_CLASSES = 100


def classified(
    outputs: dict[str, np.ndarray],
    signature: Signature,
    raw: Callable[[np.ndarray], list[Any]],
    temperature: float,
    answers: np.ndarray | None = None,
) -> dict[str, Any]:
    """Everything the page says about the answers.

    Args:
        outputs: ``logits`` (N, K) before the temperature, ``y`` (N,); N > 0.
        signature: of the data.
        raw: positions among the N rows -> rows as a client would send them.
        temperature: of the softmax.
        answers: (N,) classes that were answered; None: the most probable ones.

    Returns:
        ``confusion``, ``pairs``, ``classes``, ``calibration``, ``worst``, ``baseline`` for the template.
    """
    logits, y, labels = outputs["logits"], outputs["y"], signature.labels
    plain, calibrated = softmax(logits), softmax(logits, temperature)
    answers = calibrated.argmax(axis=1) if answers is None else answers
    matrix = cm.confusion_matrix(answers, y, len(labels))
    common = int(matrix.sum(axis=1).argmax())
    return {
        "baseline": {"label": labels[common], "share": matrix[common].sum() / len(y)},
        "right": int(np.trace(matrix)),
        "confusion": _matrix(matrix, labels) if len(labels) <= MATRIX_CLASSES else None,
        "pairs": _pairs(matrix, labels),
        "classes": _classes(matrix, labels),
        "calibration": _calibration(plain, calibrated, y, temperature),
        "worst": _worst(calibrated, answers, y, labels, signature, raw),
    }


def _matrix(matrix: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of cells; ``heat`` in per cent: right answers by their share of the row, errors beside the worst one."""
    actual = matrix.sum(axis=1)
    share = matrix / np.maximum(actual, 1)[:, None]
    errors = share.copy()
    np.fill_diagonal(errors, 0)
    worst = max(errors.max(), 1e-12)
    rows = []
    for i, label in enumerate(labels):
        cells = [
            {
                "count": int(matrix[i, j]),
                "share": figure(share[i, j], "percent"),
                "right": i == j,
                "heat": round(12 + 43 * float(share[i, j] if i == j else np.sqrt(share[i, j] / worst))),
                "title": f"true {label}, answered {labels[j]}: {matrix[i, j]:,} of {actual[i]:,}",
            }
            for j in range(len(labels))
        ]
        rows.append({"label": label, "n": int(actual[i]), "cells": cells})
    return rows


def _pairs(matrix: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """The most frequent confusions: a class, and what it was taken for."""
    errors = matrix.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[: _PAIRS if len(labels) > MATRIX_CLASSES else 5]
    actual = matrix.sum(axis=1)
    return [
        {
            "true": labels[i],
            "answered": labels[j],
            "count": int(errors[i, j]),
            "of": int(actual[i]),
            "share": figure(errors[i, j] / actual[i], "percent"),
            "width": round(100 * errors[i, j] / errors.max()),
        }
        for i, j in zip(*np.unravel_index(order, errors.shape))
        if errors[i, j]
    ]


def _classes(matrix: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Precision, recall and F1 of each class, the weakest first; classes without rows last."""
    hits, predicted, actual = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    f1 = cm.f1(matrix)
    order = np.lexsort((f1, actual == 0))
    rows = [
        {
            "label": labels[k],
            "n": int(actual[k]),
            "precision": _proportion(hits[k], predicted[k]),
            "recall": _proportion(hits[k], actual[k]),
            "f1": f"{f1[k]:.3f}" if actual[k] else "–",
            "width": round(100 * f1[k]),
        }
        for k in order[:_CLASSES]
    ]
    return {"rows": rows, "total": len(labels)}


def _proportion(successes: int, n: int) -> dict[str, str]:
    if not n:
        return {"value": "–", "interval": ""}
    low, high = wilson(int(successes), int(n))
    return {"value": figure(successes / n, "percent"), "interval": f"{100 * low:.0f} to {100 * high:.0f}"}


def _calibration(plain: np.ndarray, calibrated: np.ndarray, y: np.ndarray, temperature: float) -> dict[str, Any]:
    scaled = temperature != 1.0
    before, after = reliability(plain, y), reliability(calibrated, y) if scaled else None
    stated, right = float(calibrated.max(axis=1).mean()), float((calibrated.argmax(axis=1) == y).mean())
    if abs(stated - right) <= 0.02:
        verdict = "its confidence can be taken at its word"
    else:
        verdict = "it is too sure of itself" if stated > right else "it is right more often than it says"
    return {
        "svg": calibration_chart(before, after, "share of right answers against stated confidence"),
        "scaled": scaled,
        "temperature": figure(temperature),
        "before": figure(ece(plain, y), "fraction"),
        "after": figure(ece(calibrated, y), "fraction"),
        "stated": figure(stated, "percent"),
        "right": figure(right, "percent"),
        "verdict": verdict,
    }


def _worst(
    probabilities: np.ndarray,
    answers: np.ndarray,
    y: np.ndarray,
    labels: Sequence[str],
    signature: Signature,
    raw: Callable[[np.ndarray], list[Any]],
) -> dict[str, Any]:
    """Wrong answers, the surest first; without any, the right answers that were least sure."""
    confidence = probabilities[np.arange(len(y)), answers]
    wrong = np.flatnonzero(answers != y)
    candidates, rank = (wrong, -confidence[wrong]) if wrong.size else (np.arange(len(y)), confidence)
    chosen = candidates[np.argsort(rank, kind="stable")][: examples.count(signature)]
    notes = [
        {"true": labels[y[i]], "answered": labels[answers[i]], "confidence": figure(confidence[i], "percent")}
        for i in chosen
    ]
    return {"errors": int(wrong.size), **examples.gallery(raw, chosen, notes, signature)}
