"""BLEU against sacrebleu, and its first-order spread against the bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamplighter.core.seeding import generator
from lamplighter.metrics import bleu


def _texts(seed: int, rows: int = 30, shortest: int = 4) -> tuple[list[str], list[str]]:
    rng = generator(seed, "bleu")
    words = np.array(["the", "whale", "sea", "white", "swims", ",", "captain"])
    wanted = [" ".join(words[rng.integers(7, size=rng.integers(shortest, 15))]) for _ in range(rows)]
    own = []
    for text in wanted:
        parts = text.split()
        kept = [word if rng.random() < 0.8 else str(rng.choice(words)) for word in parts]
        own.append(" ".join(kept[: max(shortest, len(kept) - int(rng.integers(0, 4)))]))
    return own, wanted


@pytest.mark.parametrize("seed", range(8))
def test_it_is_that_of_sacrebleu(seed: int) -> None:
    sacrebleu: Any = pytest.importorskip("sacrebleu")
    own, wanted = _texts(seed)
    theirs = sacrebleu.corpus_bleu(own, [wanted], tokenize="none", smooth_method="none").score / 100
    ours = bleu.of_counts(np.sum([bleu.counts(a, b) for a, b in zip(own, wanted)], axis=0).tolist())
    assert ours == pytest.approx(theirs, rel=1e-12)
    assert 0.1 < ours < 0.95


def test_a_word_counts_as_often_as_it_is_wanted() -> None:
    assert bleu.counts("the the the the", "the cat")[:1] == [1]


def test_short_translations_lose_and_long_ones_do_not_gain() -> None:
    wanted = "a b c d e f g h"
    short = bleu.of_counts(bleu.counts("a b c d", wanted))
    assert short == pytest.approx(np.exp(1 - 8 / 4))
    assert bleu.of_counts(bleu.counts(wanted + " x x", wanted)) < 1.0


def test_the_mean_of_the_influence_is_bleu_and_its_spread_that_of_resamples() -> None:
    own, wanted = _texts(3, rows=200)
    counts = np.array([bleu.counts(a, b) for a, b in zip(own, wanted)], float)
    influence = bleu.influence(counts)
    assert influence.mean() == pytest.approx(bleu.of_counts(counts.sum(axis=0).tolist()), rel=1e-12)
    rng = np.random.default_rng(0)
    drawn = [bleu.of_counts(counts[rng.integers(200, size=200)].sum(axis=0).tolist()) for _ in range(400)]
    assert influence.std() / np.sqrt(200) == pytest.approx(np.std(drawn), rel=0.15)
