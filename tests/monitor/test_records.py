"""Rows of the store."""

from __future__ import annotations

import numpy as np
import pytest

from lamplighter.bundle.manifest import Output
from lamplighter.monitor.records import Predictions

CLASSES = Output(kind="classification", labels=("0", "1", "boot"))
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
