"""Every number that the metrics give has words, and reads as a person would write it."""

from __future__ import annotations

import numpy as np
import pytest

from lamplighter.evaluate.glossary import figure, meaning, order
from lamplighter.metrics import classification, language, regression, segmentation


@pytest.mark.parametrize("kind", ["classification", "regression", "segmentation"])
def test_every_metric_is_explained_in_a_sentence(kind: str) -> None:
    if kind == "classification":
        names = list(classification.metrics(np.eye(2), np.arange(2)))
    elif kind == "segmentation":
        names = list(segmentation.metrics(np.ones((1, 2, 2), np.int64), np.ones(1)))
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


@pytest.mark.parametrize("kind", ["language-model", "masked-lm", "seq2seq"])
def test_every_metric_of_texts_is_explained(kind: str) -> None:
    sums = {name: np.ones(2) for name in ("nll", "tokens", "hits", "bytes", "pseudo_nll", "pseudo_tokens")}
    names = set(language.metrics(sums)) - {"masked-lm": {"bits_per_byte"}}.get(kind, {"pseudo_perplexity"})
    names |= {"exact_match", "bleu"} if kind == "seq2seq" else set()
    for name in names - ({"bits_per_byte"} if kind == "seq2seq" else set()):
        words = meaning(name, kind)
        assert words.title != name and words.text.endswith("."), name
