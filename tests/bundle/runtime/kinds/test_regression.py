"""Values become answers; and what clients may say was true of either kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamplighter.bundle.manifest import Output
from lamplighter.bundle.runtime import kinds
from lamplighter.core.errors import InputError

CLASSES = Output(kind="classification", labels=("0", "1", "boot"))
NUMBERS = Output(kind="regression", targets=("x", "y"))
NUMBER = Output(kind="regression", targets=("x",))


def test_values() -> None:
    outputs = {"value": np.array([[1.5, -2.0], [0.0, 3.0]], np.float32)}
    several = Output(kind="regression", targets=("u", "v"))
    assert kinds.of(several).answers(outputs, {}) == [
        {"values": {"u": 1.5, "v": -2.0}},
        {"values": {"u": 0.0, "v": 3.0}},
    ]
    one = Output(kind="regression", targets=("u",))
    assert kinds.of(one).answers({"value": outputs["value"][:, :1]}, {}) == [{"value": 1.5}, {"value": 0.0}]


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
    assert kinds.of(output).truth(truth) == expected


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
        kinds.of(output).truth(truth)


def test_error_is_one_when_wrong() -> None:
    assert kinds.of(CLASSES).error("boot", "boot", np.zeros(3)) == 0.0
    assert kinds.of(CLASSES).error("boot", "0", np.zeros(3)) == 1.0
    assert kinds.of(NUMBERS).error({"y": 4.0, "x": 1.0}, None, np.array([2.0, 7.0])) == 2.0
    assert kinds.of(NUMBERS).error({"y": 4.0}, None, np.array([2.0, 7.0])) == 3.0
