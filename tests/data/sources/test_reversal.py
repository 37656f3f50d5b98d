"""Generated sequences and their reverse."""

from __future__ import annotations

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.sources.reversal import Reversal


def test_the_target_is_the_source_backwards() -> None:
    source = Reversal(rows=90, shortest=20, longest=40)
    for name in ("train", "val", "test"):
        rows = source.split(name)
        texts = [row["text"].split() for row in source.raw(name, np.arange(len(rows)))]
        wanted = [source.tokenizer.decode(y[y >= 0]).split() for y in rows.fetch(np.arange(len(rows)))["y"].numpy()]
        assert wanted == [text[::-1] for text in texts]
        assert all(20 <= len(text) <= 40 for text in texts)


def test_no_sequence_is_there_twice_and_another_seed_only_divides_them_anew() -> None:
    texts = {
        seed: sorted(
            row["text"] for name in ("train", "val", "test") for row in s.raw(name, np.arange(len(s.split(name))))
        )
        for seed in (0, 1)
        if (s := Reversal(rows=300, seed=seed))
    }
    assert texts[0] == texts[1] and len(set(texts[0])) == 300


def test_bounds_that_do_not_fit() -> None:
    with pytest.raises(DataError, match=r"less than data.shortest"):
        Reversal(rows=30, shortest=5, longest=4)
