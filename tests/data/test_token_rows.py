"""Batches of texts: every row with its own targets, filled up to the batch's own longest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamplighter.core.errors import DataError
from lamplighter.core.seeding import generator
from lamplighter.data.token_rows import TokenRows
from lamplighter.data.tokenization.ragged import Ragged

RNG = generator(0, "token rows")
IDS = [RNG.integers(1, 50, int(size)) for size in RNG.integers(1, 12, 30)]
POSITIONS = np.array([4, 9, 2, 28, 11, 0])


def rows() -> TokenRows:
    y = torch.arange(30)
    tags = Ragged.of([ids % 3 for ids in IDS])
    return TokenRows(Ragged.of(IDS), 0, POSITIONS, {"y": y}, {"tags": tags})


def test_a_batch_holds_the_rows_asked_for() -> None:
    chosen = np.array([5, 0, 3, 3])
    batch = rows().fetch(chosen)
    assert batch["input_ids"].dtype == torch.int64 and batch["attention_mask"].dtype == torch.bool
    wanted = [IDS[POSITIONS[i]] for i in chosen]
    assert batch["input_ids"].shape == (4, max(map(len, wanted)))
    for row, own in enumerate(wanted):
        assert batch["input_ids"][row, : len(own)].tolist() == own.tolist()
        assert not batch["input_ids"][row, len(own) :].any()
        assert batch["attention_mask"][row].sum() == len(own)
        assert batch["tags"][row, : len(own)].tolist() == (own % 3).tolist()
        assert (batch["tags"][row, len(own) :] == -1).all()
    assert batch["y"].tolist() == POSITIONS[chosen].tolist()


def test_lengths_and_targets_are_those_of_the_split() -> None:
    found = rows()
    assert len(found) == 6
    assert found.lengths.tolist() == [len(IDS[p]) for p in POSITIONS]
    assert found.tensors["y"].tolist() == POSITIONS.tolist()
    ragged = TokenRows(Ragged.of(IDS), 0, POSITIONS, ragged={"y": Ragged.of(IDS)})
    assert ragged.tensors["y"].tolist() == np.concatenate([IDS[p] for p in POSITIONS]).tolist()


def test_what_does_not_fit() -> None:
    with pytest.raises(IndexError):
        rows().fetch(np.array([6]))
    with pytest.raises(DataError, match="'y' has 29 rows, the texts have 30"):
        TokenRows(Ragged.of(IDS), 0, dense={"y": torch.zeros(29)})
