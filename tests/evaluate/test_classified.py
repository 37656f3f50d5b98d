"""The numbers behind the classification part of the page."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.evaluate.classified import classified
from lamplighter.metrics.intervals import wilson

SIGNATURE = Signature(
    inputs=(Column(name="x", kind="numeric"),),
    tensors=(TensorSpec(name="x", dtype="float32", shape=(1,)),),
    targets=(Column(name="y", kind="category", categories=("cat", "dog", "emu", "fox")),),
)


def _view(answers: list[int], y: list[int], certainty: float = 4.0) -> dict[str, Any]:
    logits = certainty * np.eye(4)[answers]
    return classified(
        {"logits": logits, "y": np.array(y)}, SIGNATURE, lambda positions: [{"x": p} for p in positions], 1.0
    )


def test_the_baseline_is_the_most_frequent_class() -> None:
    view = _view([0, 0, 1, 2], [0, 1, 1, 1])
    assert view["baseline"] == {"label": "dog", "share": 0.75} and view["right"] == 2


def test_pairs_are_ordered_by_rows_and_say_of_how_many() -> None:
    pairs = _view([1, 1, 0, 0, 0, 2], [0, 0, 0, 1, 2, 2])["pairs"]
    assert [(pair["true"], pair["answered"], pair["count"], pair["of"]) for pair in pairs] == [
        ("cat", "dog", 2, 3),
        ("dog", "cat", 1, 1),
        ("emu", "cat", 1, 2),
    ]


def test_heat_grows_with_the_share_of_the_row() -> None:
    rows = _view([0] * 9 + [1] + [0] * 4 + [1] * 6, [0] * 10 + [1] * 10)["confusion"]
    heat = [[cell["heat"] for cell in row["cells"]] for row in rows]
    assert heat[0][0] > heat[1][1] and heat[1][0] > heat[0][1]
    assert all(12 <= value <= 55 for row in heat for value in row)


def test_each_class_has_wilson_intervals_and_classes_without_rows_stand_last() -> None:
    classes = _view([0, 0, 0, 1, 1], [0, 0, 0, 0, 1])["classes"]["rows"]
    assert [row["label"] for row in classes] == ["dog", "cat", "emu", "fox"]
    low, high = wilson(3, 4)
    assert classes[1]["recall"] == {"value": "75.0%", "interval": f"{100 * low:.0f} to {100 * high:.0f}"}
    assert classes[1]["precision"]["value"] == "100.0%"
    assert (classes[2]["recall"]["value"], classes[2]["f1"]) == ("–", "–")


def test_the_verdict_on_confidence() -> None:
    y = [0, 1, 2, 3] * 10
    wrong = [1, *y[1:]] if y[0] != 1 else y
    assert "too sure" in _view([0] * 40, y, certainty=9)["calibration"]["verdict"]
    assert "more often" in _view(y, y, certainty=1)["calibration"]["verdict"]
    assert "at its word" in _view(wrong, y, certainty=4.8)["calibration"]["verdict"]
