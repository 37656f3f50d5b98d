"""Rows of the store, and what clients may say was true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamplighter.bundle.manifest import Output
from lamplighter.core.errors import InputError
from lamplighter.monitor.records import Predictions, error_of, parse_truth

CLASSES = Output(kind="classification", labels=("0", "1", "boot"))
NUMBERS = Output(kind="regression", targets=("x", "y"))
NUMBER = Output(kind="regression", targets=("x",))


def test_rows_hold_label_confidence_and_exact_numbers() -> None:
    features = np.array([[1, np.nan], [3, 4]], dtype=np.float32)
    scores = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]], dtype=np.float32)
    chunk = Predictions.copy_of(["a", "b"], features, scores, 0.002, 5.0, (2, 3))
    features[:] = 0
    first, second = chunk.to_rows("m", "1", CLASSES)
    assert (first["id"], first["label"], first["value"], second["label"]) == ("a", "boot", None, "0")
    assert first["confidence"] == pytest.approx(0.7)
    np.testing.assert_array_equal(np.frombuffer(first["features"], "<f4"), np.array([1, np.nan], "<f4"))
    value = Predictions.copy_of(["a"], np.zeros((1, 0)), np.array([[2.5]]), 0.0, 0.0, (0, 1))
    assert value.to_rows("m", "1", NUMBER)[0]["value"] == 2.5


@pytest.mark.parametrize(("features", "scores"), [((1, 2), (2, 3)), ((2, 1), (2, 3)), ((2, 2), (2, 2)), ((2,), (2, 3))])
def test_wrong_shapes_are_refused_at_once(features: tuple[int, ...], scores: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shapes"):
        Predictions.copy_of(["a", "b"], np.zeros(features), np.zeros(scores), 0.0, 0.0, (2, 3))


@pytest.mark.parametrize(
    ("truth", "output", "expected"),
    [
        ("boot", CLASSES, "boot"),
        (1, CLASSES, "1"),
        (2, NUMBER, {"x": 2.0}),
        ({"x": 2.5}, NUMBER, {"x": 2.5}),
        ({"y": -1}, NUMBERS, {"y": -1.0}),
    ],
)
def test_truths_that_fit(truth: Any, output: Output, expected: Any) -> None:
    assert parse_truth(truth, output) == expected


@pytest.mark.parametrize(
    ("truth", "output", "words"),
    [
        ("shoe", CLASSES, "unknown label 'shoe'; known labels: 0, 1, boot"),
        (2, CLASSES, "unknown label 2"),
        (True, CLASSES, "unknown label True"),
        (None, CLASSES, "unknown label None"),
        ("x" * 500, CLASSES, r"\.\.\.;"),
        ("2", NUMBER, "'x' needs a finite number, not '2'"),
        (float("nan"), NUMBER, "finite number"),
        (True, NUMBER, "finite number"),
        (3.0, NUMBERS, "give a number for some of the targets: x, y"),
        ({}, NUMBERS, "x, y"),
        ({"z": 1}, NUMBERS, "unknown target 'z'; known targets: x, y"),
    ],
)
def test_truths_that_do_not(truth: Any, output: Output, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_truth(truth, output)


def test_error_is_one_when_wrong() -> None:
    assert error_of("boot", "boot", np.zeros(3), CLASSES) == 0.0
    assert error_of("boot", "0", np.zeros(3), CLASSES) == 1.0
    assert error_of({"y": 4.0, "x": 1.0}, None, np.array([2.0, 7.0]), NUMBERS) == 2.0
    assert error_of({"y": 4.0}, None, np.array([2.0, 7.0]), NUMBERS) == 3.0
