"""What the report shows of a segmentation: each class, what is taken for what, and the worst images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lamplighter.data.preprocessing.masks import colours, overlay
from lamplighter.evaluate.glossary import figure, interval
from lamplighter.evaluate.pictures import data_uri
from lamplighter.metrics import confusion as cm
from lamplighter.metrics import masks, segmentation

if TYPE_CHECKING:
    from lamplighter.evaluate.views import Judged, View

MATRIX_CLASSES = 30
"""Up to so many classes the whole matrix is legible."""
IMAGES = 12
_CLASSES = 100


def segmented(judged: Judged) -> View:
    """Everything the page says about the answers.

    Args:
        judged: outputs ``confusion`` (N, K, K) and ``log_loss`` (N,); ``extra["answered"]`` gives images and masks of
            positions within the split, see `lamplighter.tasks.segmentation.Segmentation.shown`.
    """
    confusion, labels = judged.outputs["confusion"], judged.signature.labels
    whole = confusion.sum(axis=0)
    common = int(whole.sum(axis=1).argmax())
    pixels = int(whole.sum())
    trivial = whole[common].sum() / pixels
    return {
        "links": [("classes", "Classes"), ("confusion", "Confusions"), ("worst", "Worst images")],
        "template": "segmentation.html",
        "lead": (
            f"The model gave the right one of {len(labels)} classes to {np.trace(whole) / pixels:.1%} of "
            f"{pixels:,} pixels. Always answering “{labels[common]}” would be right for "
            f"{trivial:.1%}, with a mean IoU of {trivial / _present(whole):.1%}."
        ),
        "palette": [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in colours(len(labels))],
        "classes": _classes(confusion, labels, judged.seed),
        "total": len(labels),
        "confusion": _matrix(whole, labels) if len(labels) <= MATRIX_CLASSES else None,
        "pairs": _pairs(whole, labels),
        "worst": _worst(judged),
    }


def _present(whole: np.ndarray) -> int:
    """Classes that have pixels: those without are left out of the mean."""
    return int((whole.sum(axis=1) > 0).sum())


def _classes(confusion: np.ndarray, labels: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """IoU of each class with its interval, the weakest first; those without pixels last."""
    whole = confusion.sum(axis=0)
    scores = segmentation.of_classes(confusion, seed)
    ious = [score.value if score else math.inf for score in scores]
    actual, answered, hits = whole.sum(axis=1), whole.sum(axis=0), np.diag(whole)
    images = (confusion.sum(axis=2) > 0).sum(axis=0)
    rows = []
    for k in np.argsort(ious, kind="stable")[:_CLASSES]:
        score = scores[k]
        rows.append(
            {
                "index": int(k),
                "label": labels[k],
                "share": figure(actual[k] / max(actual.sum(), 1), "percent"),
                "images": f"{images[k]:,}",
                "iou": figure(score.value, "percent") if score else "–",
                "interval": interval(score, "percent") if score else "",
                "precision": figure(hits[k] / answered[k], "percent") if answered[k] else "–",
                "recall": figure(hits[k] / actual[k], "percent") if actual[k] else "–",
                "width": round(100 * score.value) if score else 0,
            }
        )
    return rows


def _matrix(whole: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of cells: the share of the pixels of a true class; ``heat`` in per cent, errors beside the worst one."""
    actual = whole.sum(axis=1)
    share = whole / np.maximum(actual, 1)[:, None]
    errors = share.copy()
    np.fill_diagonal(errors, 0)
    worst = max(errors.max(), 1e-12)
    rows = []
    for i, label in enumerate(labels):
        cells = [
            {
                "text": _per_cent(share[i, j]),
                "right": i == j,
                "none": not whole[i, j],
                "heat": round(12 + 43 * float(share[i, j] if i == j else np.sqrt(share[i, j] / worst))),
                "title": f"true {label}, answered {labels[j]}: {whole[i, j]:,} of {actual[i]:,} pixels",
            }
            for j in range(len(labels))
        ]
        rows.append({"label": label, "cells": cells})
    return rows


def _per_cent(share: float) -> str:
    """``97%``, ``0.4%``, ``<0.1%``."""
    if share >= 0.0995:
        return f"{share:.0%}"
    return f"{share:.1%}" if share >= 0.0005 else "<0.1%"


def _pairs(whole: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """The most frequent confusions: a class, and what its pixels were taken for."""
    errors = whole.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[: 20 if len(labels) > MATRIX_CLASSES else 6]
    actual = whole.sum(axis=1)
    return [
        {
            "true": labels[i],
            "answered": labels[j],
            "count": int(errors[i, j]),
            "share": figure(errors[i, j] / actual[i], "percent"),
        }
        for i, j in zip(*np.unravel_index(order, errors.shape))
        if errors[i, j]
    ]


def _worst(judged: Judged) -> list[dict[str, Any]]:
    """Images with the lowest mean IoU over their classes, as image, truth and answer."""
    confusion = judged.outputs["confusion"]
    each = np.array([masks.mean_iou(matrix) for matrix in confusion])
    chosen = np.argsort(each, kind="stable")[:IMAGES]
    if "answered" not in judged.extra:
        return []
    found = judged.extra["answered"](np.asarray(judged.extra["positions"])[chosen])
    items = []
    for row, (image, truth, answer) in zip(chosen, found):
        wrong = np.where((truth >= 0) & (truth != answer), 1, 0)
        items.append(
            {
                "iou": figure(each[row], "percent"),
                "right": figure(float(cm.ratio(np.trace(confusion[row]), confusion[row].sum())), "percent"),
                "pictures": [
                    ("image", data_uri(overlay(image, np.zeros_like(truth)))),
                    ("truth", data_uri(overlay(image, truth, alpha=0.6))),
                    ("answer", data_uri(overlay(image, answer, alpha=0.6))),
                    ("wrong pixels", data_uri(overlay(image, wrong, alpha=0.8))),
                ],
            }
        )
    return items
