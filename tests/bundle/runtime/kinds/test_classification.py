"""Logits become labels with probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamplighter.bundle.manifest import Output
from lamplighter.bundle.runtime import kinds
from lamplighter.core.errors import InputError
from lamplighter.core.seeding import generator
from lamplighter.data.preprocessing.pipeline import Tensors


def answers(output: Output, outputs: Tensors) -> list[dict[str, Any]]:
    return kinds.of(output).answers(outputs, {})


def scores_of(output: Output, outputs: Tensors) -> np.ndarray:
    return kinds.of(output).scores(outputs, {})


CLASSES = Output(kind="classification", labels=("a", "b", "c"), temperature=1.7)


def test_probabilities_are_calibrated() -> None:
    logits = generator(0, "logits").normal(size=(6, 3)).astype(np.float32) * 5
    z = logits.astype(np.float64) / 1.7
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores_of(CLASSES, {"logits": logits}), expected, rtol=1e-10)
    for answer, row in zip(answers(CLASSES, {"logits": logits}), expected):
        assert answer["label"] == "abc"[row.argmax()]
        assert answer["confidence"] == max(answer["probabilities"].values())
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-12)
        assert type(answer["confidence"]) is float


def test_huge_logits_do_not_overflow() -> None:
    answer = answers(CLASSES, {"logits": np.array([[1e30, 0, -1e30]], np.float32)})[0]
    assert (answer["label"], answer["confidence"]) == ("a", 1.0)


def test_the_label_is_that_of_the_largest_logit_even_where_probabilities_tie() -> None:
    logits = np.array([[0, 1e-30, 0]], np.float32)
    assert answers(CLASSES, {"logits": logits})[0]["label"] == "b"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_no_numbers_are_refused_by_row(value: float) -> None:
    logits = np.zeros((4, 3), np.float32)
    logits[2, 1] = value
    with pytest.raises(InputError, match="row 2: the network's answer is not a finite number"):
        answers(CLASSES, {"logits": logits})


def test_no_rows() -> None:
    assert answers(CLASSES, {"logits": np.zeros((0, 3), np.float32)}) == []


def test_a_threshold_decides_and_the_confidence_is_the_answers_own() -> None:
    output = Output(kind="classification", labels=("ok", "fraud"), threshold=0.2, positive=1)
    logits = np.log(np.array([[0.7, 0.3], [0.9, 0.1]], np.float32))
    found = answers(output, {"logits": logits})
    assert [answer["label"] for answer in found] == ["fraud", "ok"]
    assert [round(answer["confidence"], 6) for answer in found] == [0.3, 0.9]
    first = Output(kind="classification", labels=("fraud", "ok"), threshold=0.2, positive=0)
    assert [answer["label"] for answer in answers(first, {"logits": logits})] == ["fraud", "fraud"]
