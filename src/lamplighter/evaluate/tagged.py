"""What the report shows of a tagging: each type of entity or tag, what is taken for what, and the worst sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lamplighter.evaluate.glossary import figure
from lamplighter.metrics import tagging

if TYPE_CHECKING:
    from lamplighter.evaluate.views import Judged, View

SENTENCES = 15
_PAIRS = 10
_ROWS = 100


def tagged(judged: Judged) -> View:
    """Everything the page says about the answers.

    Args:
        judged: outputs ``predicted`` and ``y`` (N, M), -1 behind the last word, and ``log_loss`` (N,).
    """
    predicted, y = judged.outputs["predicted"], judged.outputs["y"]
    labels = judged.signature.labels
    counts = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(counts, (y[y >= 0], predicted[y >= 0]), 1)
    words, common = int(counts.sum()), int(counts.sum(axis=1).argmax())
    types = tagging.of_types(predicted, y, labels)
    return {
        "links": [("classes", "Types" if types else "Tags"), ("confusion", "Confusions"), ("worst", "Worst sentences")],
        "template": "tagging.html",
        "lead": (
            f"The model gave the right one of {len(labels)} tags to {np.trace(counts) / words:.1%} of {words:,} words. "
            f"Always answering “{labels[common]}” would be right for {counts[common].sum() / words:.1%}"
            + (", and would find no entity." if types and labels[common] == "O" else ".")
        ),
        "types": _types(types) if types else _tags(counts, labels),
        "entities": bool(types),
        "pairs": _pairs(counts, labels),
        "worst": _worst(judged, labels),
    }


def _types(types: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Each type of entity, the weakest first."""
    return [
        {
            "name": kind,
            "count": f"{each['entities']:,}",
            **{name: figure(each[name], "percent") for name in ("precision", "recall")},
            "f1": figure(each["f1"], "fraction"),
            "width": round(100 * each["f1"]),
        }
        for kind, each in sorted(types.items(), key=lambda item: (item[1]["f1"], item[0]))[:_ROWS]
    ]


def _tags(counts: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """The same of tags that name no entities."""
    hits, actual, answered = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    f1 = 2 * hits / np.maximum(1, actual + answered)
    return [
        {
            "name": labels[k],
            "count": f"{actual[k]:,}",
            "precision": figure(hits[k] / answered[k], "percent") if answered[k] else "–",
            "recall": figure(hits[k] / actual[k], "percent") if actual[k] else "–",
            "f1": figure(float(f1[k]), "fraction"),
            "width": round(100 * float(f1[k])),
        }
        for k in np.argsort(f1, kind="stable")[:_ROWS]
    ]


def _pairs(counts: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """The most frequent wrong tags."""
    errors = counts.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[:_PAIRS]
    actual = counts.sum(axis=1)
    return [
        {
            "true": labels[i],
            "answered": labels[j],
            "count": f"{errors[i, j]:,}",
            "share": figure(errors[i, j] / actual[i], "percent"),
        }
        for i, j in zip(*np.unravel_index(order, errors.shape))
        if errors[i, j]
    ]


def _worst(judged: Judged, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Sentences with the most wrong words, word by word, the wrong ones with both tags."""
    predicted, y = judged.outputs["predicted"], judged.outputs["y"]
    wrong = ((predicted != y) & (y >= 0)).sum(axis=1)
    order = np.lexsort((-judged.outputs["log_loss"], -wrong))[:SENTENCES]
    chosen = order[wrong[order] > 0]
    items = []
    for row, given in zip(chosen, judged.raw(chosen) if len(chosen) else []):
        words = given["words"] if isinstance(given, dict) else given
        marks = [
            {
                "word": word,
                "true": labels[true],
                "answered": labels[own],
                "wrong": own != true,
                "marked": labels[true] != "O" or labels[own] != "O",
            }
            for word, own, true in zip(words, predicted[row].tolist(), y[row].tolist())
        ]
        items.append({"wrong": int(wrong[row]), "words": marks})
    return items
