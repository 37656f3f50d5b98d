"""Rows in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamplighter.core.errors import DataError
from lamplighter.data.rows import TensorRows


def test_fetch_gathers_every_tensor_in_the_order_asked() -> None:
    rows = TensorRows({"x": torch.arange(20).reshape(10, 2), "y": torch.arange(10)})
    batch = rows.fetch(np.array([7, 0, 7]))
    assert batch["x"].tolist() == [[14, 15], [0, 1], [14, 15]]
    assert batch["y"].tolist() == [7, 0, 7]


def test_positions_choose_a_split_without_copying() -> None:
    x = torch.arange(10)
    rows = TensorRows({"x": x}, np.array([9, 4, 2]))
    assert len(rows) == 3
    assert rows.fetch(np.array([2, 0]))["x"].tolist() == [2, 9]
    assert rows.tensors["x"] is x


def test_a_batch_shares_no_memory_with_the_data() -> None:
    x = torch.arange(4)
    TensorRows({"x": x}).fetch(np.arange(4))["x"].zero_()
    assert x.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("index", [-1, 3])
@pytest.mark.parametrize("positions", [None, np.array([5, 6, 7])])
def test_indices_outside_are_refused(index: int, positions: np.ndarray | None) -> None:
    rows = TensorRows({"x": torch.arange(3 if positions is None else 9)}, positions)
    with pytest.raises(IndexError):
        rows.fetch(np.array([index]))


def test_read_only_and_strided_indices_work() -> None:
    indices = np.arange(6)[::2]
    indices.setflags(write=False)
    assert TensorRows({"x": torch.arange(6)}).fetch(indices)["x"].tolist() == [0, 2, 4]


def test_tensors_of_different_length_and_positions_outside_are_refused() -> None:
    with pytest.raises(DataError, match="same number of rows"):
        TensorRows({"x": torch.zeros(3), "y": torch.zeros(4)})
    with pytest.raises(DataError, match="do not fit 3 rows"):
        TensorRows({"x": torch.zeros(3)}, np.array([0, 3]))
