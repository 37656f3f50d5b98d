"""The page about tags: types, confusions, and sentences with their wrong words."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.evaluate.tagged import tagged
from lamplighter.evaluate.views import Judged, view_of

WORDS = [["Ada", "slept"], ["Berlin", "Ada", "x"], ["quiet"]]


def judged(labels: tuple[str, ...] = ("O", "B-PER", "B-LOC")) -> Judged:
    signature = Signature(
        inputs=(Column(name="words", kind="text"),),
        tensors=(TensorSpec(name="input_ids", dtype="int64", shape=(None,)),),
        targets=(Column(name="tags", kind="tags", categories=labels),),
    )
    y = np.array([[1, 0, -1], [2, 1, 0], [0, -1, -1]])
    predicted = np.array([[1, 0, -1], [1, 0, 0], [0, -1, -1]])
    outputs = {"predicted": predicted, "y": y, "log_loss": np.array([1.0, 5.0, 0.1])}
    return Judged(outputs, signature, lambda rows: [{"words": WORDS[row]} for row in rows])


def test_types_and_confusions() -> None:
    view = tagged(judged())
    assert [(row["name"], row["count"], row["precision"], row["recall"]) for row in view["types"]] == [
        ("LOC", "1", "0.0%", "0.0%"),
        ("PER", "2", "50.0%", "50.0%"),
    ]
    assert {(pair["true"], pair["answered"], pair["count"]) for pair in view["pairs"]} == {
        ("B-PER", "O", "1"),
        ("B-LOC", "B-PER", "1"),
    }
    assert "66.7% of 6 words" in view["lead"] and "right for 50.0%, and would find no entity" in view["lead"]


def test_only_wrong_sentences_word_by_word() -> None:
    (only,) = tagged(judged())["worst"]
    assert only["wrong"] == 2
    words: list[dict[str, Any]] = only["words"]
    assert [(word["word"], word["wrong"], word["marked"]) for word in words] == [
        ("Berlin", True, True),
        ("Ada", True, True),
        ("x", False, False),
    ]


def test_tags_that_name_no_entities() -> None:
    view = view_of("tagging", judged(("NOUN", "VERB", "ADJ")))
    assert not view["entities"] and view["types"][0]["name"] == "ADJ"
    assert view["template"] == "tagging.html"
