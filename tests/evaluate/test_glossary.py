"""Every number that the metrics give has words, and reads as a person would write it."""

from __future__ import annotations

import numpy as np
import pytest

from lamplighter.evaluate.glossary import figure, meaning, order
from lamplighter.metrics import classification, regression


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_every_metric_is_explained_in_a_sentence(kind: str) -> None:
    if kind == "classification":
        names = list(classification.metrics(np.eye(2), np.arange(2)))
    else:
        names = list(regression.metrics(np.eye(2), np.eye(2)))
    for name in names:
        words = meaning(name, kind)
        assert words.title != name and words.text.endswith("."), name
    assert sorted(order(names, kind)) == sorted(names)
    assert order(["unknown", *names], kind)[-1] == "unknown"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1234.5, 1e300, -1e-300])
def test_any_number_can_be_written(value: float) -> None:
    for style in ("percent", "fraction", "unit"):
        assert figure(value, style)  # type: ignore[arg-type]
    assert figure(-1234.5) == "-1,234"
