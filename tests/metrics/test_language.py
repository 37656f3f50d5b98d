"""Perplexity and its like: the formula of all tokens together, and intervals that cover."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.core.seeding import generator
from lamplighter.metrics import language


def _sums(rows: int = 50, stream: int = 0) -> dict[str, np.ndarray]:
    rng = generator(0, "language", stream)
    tokens = rng.integers(1, 40, rows)
    return {
        "nll": np.array([rng.gamma(2.0, 1.5, n).sum() for n in tokens]),
        "tokens": tokens,
        "hits": np.array([rng.binomial(n, 0.3) for n in tokens]),
        "bytes": 4 * tokens,
    }


def test_long_rows_count_more_than_short_ones() -> None:
    sums = {"nll": np.array([1.0, 30.0]), "tokens": np.array([1, 10]), "hits": np.array([1, 0])}
    found = language.metrics(sums)
    assert found["loss"] == pytest.approx(31 / 11)
    assert found["perplexity"] == pytest.approx(math.exp(31 / 11))
    assert found["accuracy"] == pytest.approx(1 / 11)


def test_bits_per_byte_of_a_uniform_model_over_bytes_is_eight() -> None:
    sums = {"nll": np.array([math.log(256) * 5]), "tokens": np.array([5]), "bytes": np.array([5])}
    assert language.metrics(sums)["bits_per_byte"] == pytest.approx(8.0)


def test_intervals_cover_the_true_value_as_often_as_they_say() -> None:
    true = 3.0  # mean of gamma(2, 1.5)
    covered = [s.low <= true <= s.high for n in range(200) if (s := language.scores(_sums(80, n), seed=n)["loss"])]
    assert 0.88 <= np.mean(covered) <= 0.99


def test_scores_are_the_metrics_with_rows_and_interval() -> None:
    sums = _sums()
    values, scores = language.metrics(sums), language.scores(sums)
    assert set(values) == set(scores) == {"loss", "perplexity", "accuracy", "bits_per_byte"}
    for name, score in scores.items():
        assert score.value == values[name] and score.n == 50
        assert score.low < score.value < score.high


def test_what_is_not_defined_is_left_out_or_refused() -> None:
    assert "bits_per_byte" not in language.metrics({**_sums(), "bytes": np.zeros(50)})
    with pytest.raises(DataError, match="no token"):
        language.metrics({"nll": np.zeros(2), "tokens": np.zeros(2)})
    assert language.metrics({"nll": np.array([1e9]), "tokens": np.array([1])})["perplexity"] == math.inf
    assert language.scores({"nll": np.array([np.nan]), "tokens": np.array([1])}) == {}
