"""What the report says of two classes: thresholds are chosen on validation rows and judged on others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.evaluate.decided import decided
from lamplighter.metrics.intervals import wilson
from lamplighter.metrics.thresholds import MaxFBeta, Youden

SIGNATURE = Signature(
    inputs=(Column(name="x", kind="numeric"),),
    tensors=(TensorSpec(name="x", dtype="float32", shape=(1,)),),
    targets=(Column(name="y", kind="category", categories=("fraud", "ok")),),
)


def _split(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.7).astype(int)
    p = 1 / (1 + np.exp(-(2 * y + rng.normal(size=n) - 0.5)))
    return np.column_stack([1 - p, p]), y


def test_rows_are_chosen_on_validation_and_judged_on_these() -> None:
    (p, y), (val, val_y) = _split(400, 0), _split(400, 1)
    view = decided(p, y, SIGNATURE, positive=0, validation=(val, val_y))
    assert view is not None and (view["positive"], view["other"], view["tuned"]) == ("fraud", "ok", False)
    assert [row["in_use"] for row in view["rows"]] == [True, False, False, False]
    thresholds = [0.5, *(c(val[:, 0], val_y == 0) for c in (MaxFBeta(1), MaxFBeta(2), Youden()))]
    for row, threshold in zip(view["rows"], thresholds):
        answer = p[:, 0] >= threshold
        assert row["threshold"] == f"{threshold:.4g}" and row["answered"] == answer.sum()
        assert row["precision"]["value"] == f"{oracle.precision_score(y == 0, answer):.1%}"
        low, high = wilson(int((answer & (y == 0)).sum()), int((y == 0).sum()))
        assert row["recall"] == {
            "value": f"{oracle.recall_score(y == 0, answer):.1%}",
            "interval": f"{100 * low:.0f} to {100 * high:.0f}",
        }
        assert row["f1"] == f"{oracle.f1_score(y == 0, answer):.3f}"
        assert row["accuracy"] == f"{oracle.accuracy_score(y == 0, answer):.1%}"
    assert view["average_precision"] == f"{oracle.average_precision_score(y == 0, p[:, 0]):.3f}"
    assert view["roc_auc"] == f"{oracle.roc_auc_score(y == 0, p[:, 0]):.3f}"
    assert "bundle: {threshold: {name: max-f-beta, beta: 2}}" in [row["snippet"] for row in view["rows"]]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"name": "max-f-beta", "beta": 2.0}, "weighs 2 times as much as"),
        ({"name": "min-cost", "false_positive": 1.0, "false_negative": 5.0}, "at 1 for a false alarm and 5 for a miss"),
        ({"name": "recall-at-precision", "precision": 0.9}, "at least 90% of its positive answers"),
        ({"name": "precision-at-recall", "recall": 0.5}, "at least 50% of the positives"),
        ({"name": "fixed", "value": 0.31}, "that the recipe says"),
        ({"name": "youden"}, "Youden's J"),
        ({"name": "my-own", "share": 0.1}, "Chosen by my-own."),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_the_one_in_use_stands_there_once_with_its_reason(chosen: dict[str, Any], words: str) -> None:
    p, y = _split(200, 2)
    view = decided(p, y, SIGNATURE, 0, 0.31, chosen, (p, y))
    assert view is not None and view["tuned"] and view["in_use"] == "0.31"
    used = [row for row in view["rows"] if row["in_use"]]
    assert len(used) == 1 and words in used[0]["words"] and used[0]["threshold"] == "0.31"
    assert len({row["words"] for row in view["rows"]}) == len(view["rows"])


def test_a_threshold_that_answers_nothing_has_no_precision() -> None:
    p, y = _split(50, 3)
    view = decided(p, y, SIGNATURE, 0, 1.000001, {"name": "min-cost", "false_positive": 9.0, "false_negative": 0.0})
    assert view is not None
    assert view["rows"][-1]["precision"] == {"value": "–", "interval": ""} and view["rows"][-1]["answered"] == 0


def test_without_two_kinds_of_rows_there_is_nothing_to_show() -> None:
    p, _ = _split(20, 0)
    assert decided(p, np.zeros(20, dtype=int), SIGNATURE) is None
    assert decided(p, np.ones(20, dtype=int), SIGNATURE) is None
    assert decided(np.full((20, 2), np.nan), np.arange(20) % 2, SIGNATURE) is None
