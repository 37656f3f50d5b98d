"""Rows of different lengths: every row comes back whole, in any order, with nothing of its neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from lamplighter.core.seeding import generator
from lamplighter.data.tokenization.ragged import Ragged


@pytest.fixture(scope="module")
def rows() -> list[np.ndarray]:
    rng = generator(0, "ragged")
    return [rng.integers(1, 99, int(size)) for size in rng.integers(0, 9, 40)]


def test_rows_come_back(rows: list[np.ndarray]) -> None:
    ragged = Ragged.of(rows)
    assert len(ragged) == 40 and ragged.flat.dtype == np.int32
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    for got, wanted in zip(ragged, rows, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_padded_and_present_row_by_row(rows: list[np.ndarray]) -> None:
    chosen = np.array([7, 3, 7, 0, 39])
    padded, present = Ragged.of(rows).padded(chosen, fill=-5), Ragged.of(rows).present(chosen)
    assert padded.dtype == np.int64 and padded.shape == present.shape
    assert padded.shape[1] == max(len(rows[i]) for i in chosen)
    for got, real, index in zip(padded, present, chosen):
        own = rows[index].tolist()
        assert got.tolist() == own + [-5] * (len(got) - len(own))
        assert real.tolist() == [True] * len(own) + [False] * (len(got) - len(own))


def test_take_is_a_selection(rows: list[np.ndarray]) -> None:
    chosen = np.array([5, 5, 0, 12])
    for got, index in zip(Ragged.of(rows).take(chosen), chosen, strict=True):
        np.testing.assert_array_equal(got, rows[index])


def test_rows_without_anything() -> None:
    empty = Ragged.of([[], []])
    assert empty.padded(np.array([0, 1]), 0).shape == (2, 0)
    assert Ragged.of([[], [4]]).padded(np.array([0]), 0).shape == (1, 0)
