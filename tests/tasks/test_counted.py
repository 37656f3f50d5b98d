"""Counting models against probabilities worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamplighter.data.token_rows import TokenRows
from lamplighter.data.tokenization.ragged import Ragged
from lamplighter.tasks.counted import BigramCounts, UnigramCounts, count_pairs, count_tokens

ROWS = TokenRows(Ragged.of([[1, 2, 1, 2], [2, 3]]), pad=0, ragged={"y": Ragged.of([[2, 1, 2, -1], [3, -1]])})


def test_counts_of_targets_and_pairs() -> None:
    counts = count_tokens(ROWS, 5, lambda batch: batch["y"][batch["y"] >= 0])
    assert counts.tolist() == [0, 1, 2, 1, 0]
    pairs, times = count_pairs(ROWS, 5)
    assert pairs.tolist() == [[1, 2], [2, 1], [2, 3]] and times.tolist() == [2, 1, 1]


def test_probabilities_sum_to_one_and_are_the_smoothed_counts() -> None:
    counts = count_tokens(ROWS, 5, lambda batch: batch["y"][batch["y"] >= 0])
    ids = torch.tensor([[1, 2, 4]])
    unigram = UnigramCounts(counts)(ids, ids > 0).exp()
    np.testing.assert_allclose(unigram[0, 0], (counts + 1) / 9, rtol=1e-6)
    model = BigramCounts(*count_pairs(ROWS, 5), counts)
    found = model(ids, ids > 0).exp()
    torch.testing.assert_close(found.sum(2), torch.ones(1, 3))
    a, prior = model.strength, (counts + 1) / 9
    np.testing.assert_allclose(found[0, 0], (np.array([0, 0, 2, 0, 0]) + a * prior) / (2 + a), rtol=1e-5)
    np.testing.assert_allclose(found[0, 2], prior, rtol=1e-5)  # a token that nothing followed


@pytest.mark.parametrize(("follows", "strong"), [(True, False), (False, True)])
def test_the_strength_follows_the_data(follows: bool, strong: bool) -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 20, (300, 12))
    if follows:
        ids = 1 + (ids[:, :1] + np.arange(12)) % 19
    rows = TokenRows(Ragged.of(list(ids)), 0, ragged={"y": Ragged.of([np.append(row[1:], -1) for row in ids])})
    counts = count_tokens(rows, 20, lambda batch: batch["y"][batch["y"] >= 0])
    assert (BigramCounts(*count_pairs(rows, 20), counts).strength > 30) == strong
