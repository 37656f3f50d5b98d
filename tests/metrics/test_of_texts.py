"""Metrics of texts, as a recipe names them."""

from __future__ import annotations

import pytest

from lamplighter.core.errors import DataError
from lamplighter.metrics.of_texts import BLEU, ExactMatch


def test_white_space_at_the_ends_does_not_count() -> None:
    assert ExactMatch()(["a b ", "c"], ["a b", "d"]) == 0.5


def test_texts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="2 texts do not fit 1"):
        BLEU()(["a", "b"], ["a"])
    with pytest.raises(DataError, match="strings, not int"):
        ExactMatch()([1], ["a"])
