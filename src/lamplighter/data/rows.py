"""Rows that live in memory as tensors: a batch is one gather per tensor."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lamplighter.core.errors import DataError
from lamplighter.data.source import Batch


class TensorRows:
    """Rows of tensors that share their first dimension.

    Args:
        tensors: by name, each (rows, ...).
        positions: which rows of the tensors belong to this split, in order; ``None`` for all. The tensors are shared,
            not copied.

    >>> rows = TensorRows({"x": torch.arange(6).reshape(3, 2), "y": torch.tensor([7, 8, 9])}, np.array([2, 0]))
    >>> len(rows), rows.fetch(np.array([0]))["y"]
    (2, tensor([9]))
    """

    decodes = False

    def __init__(self, tensors: dict[str, Tensor], positions: np.ndarray | None = None) -> None:
        lengths = {name: len(tensor) for name, tensor in tensors.items()}
        if len(set(lengths.values())) != 1:
            raise DataError(f"tensors of one data set need the same number of rows, not {lengths}")
        total = next(iter(lengths.values()))
        if positions is not None and len(positions) and not 0 <= positions.min() <= positions.max() < total:
            raise DataError(f"positions {positions.min()} to {positions.max()} do not fit {total} rows")
        self.tensors = tensors
        self.positions = None if positions is None else torch.from_numpy(positions.astype(np.int64))
        self._rows = total if positions is None else len(positions)

    def __len__(self) -> int:
        return self._rows

    def fetch(self, indices: np.ndarray) -> Batch:
        """Rows at ``indices``, as new tensors.

        Raises:
            IndexError: an index is negative or beyond the last row.
        """
        index = torch.from_numpy(np.require(indices, np.int64, ["C", "W"]))
        if self.positions is not None:
            index = self.positions.index_select(0, index)
        return {name: tensor.index_select(0, index) for name, tensor in self.tensors.items()}
