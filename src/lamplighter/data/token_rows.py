"""Texts of a split as token ids in one flat array; a batch is one gather, filled up to its own longest row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from lamplighter.core.errors import DataError
from lamplighter.data.source import Batch
from lamplighter.data.tokenization.ragged import Ragged

FILL = -1
"""Fills up ragged targets: no target."""


class TokenRows:
    """Rows of ``input_ids`` and ``attention_mask`` with targets.

    Args:
        ids: of every row of the data set.
        pad: id that fills up short rows.
        positions: which rows belong to this split, in order; None for all. The arrays are shared, not copied.
        dense: further tensors of the whole data set by name, first dimension rows, for instance ``y``.
        ragged: further rows of different lengths by name, filled up with -1, for instance tags as ``y``.
        bucket: batches whose rows are sorted by length together, so that little is filled up; 0: none. See
            `lamplighter.data.loader.Loader`.

    Attributes:
        lengths: (rows,) tokens of each row of the split.
        tensors: ``y`` of the split, flat where it is ragged.

    >>> rows = TokenRows(Ragged.of([[5, 6, 7], [8], [9, 4]]), pad=0, positions=np.array([1, 2]))
    >>> batch = rows.fetch(np.array([0, 1]))
    >>> batch["input_ids"].tolist(), batch["attention_mask"].int().tolist()
    ([[8, 0], [9, 4]], [[1, 0], [1, 1]])
    """

    decodes = False

    def __init__(
        self,
        ids: Ragged,
        pad: int,
        positions: np.ndarray | None = None,
        dense: Mapping[str, Tensor] | None = None,
        ragged: Mapping[str, Ragged] | None = None,
        bucket: int = 0,
    ) -> None:
        self._ids = ids
        self.pad = pad
        self._positions = np.arange(len(ids)) if positions is None else positions.astype(np.int64)
        self._dense = dict(dense or {})
        self._ragged = dict(ragged or {})
        self.bucket = bucket
        sizes = {name: len(column) for name, column in self._dense.items()}
        sizes |= {name: len(column) for name, column in self._ragged.items()}
        for name, size in sizes.items():
            if size != len(ids):
                raise DataError(f"'{name}' has {size} rows, the texts have {len(ids)}")
        self.lengths: np.ndarray = ids.lengths[self._positions]
        self.tensors: dict[str, Tensor] = {}
        if "y" in self._dense:
            self.tensors["y"] = self._dense["y"].index_select(0, torch.from_numpy(self._positions))
        elif "y" in self._ragged:
            self.tensors["y"] = torch.from_numpy(self._ragged["y"].take(self._positions).flat.astype(np.int64))

    def __len__(self) -> int:
        return len(self._positions)

    def fetch(self, indices: np.ndarray) -> Batch:
        """Rows at ``indices``, as new tensors.

        Raises:
            IndexError: an index is beyond the last row.
        """
        rows = self._positions[indices]
        batch = {
            "input_ids": torch.from_numpy(self._ids.padded(rows, self.pad)),
            "attention_mask": torch.from_numpy(self._ids.present(rows)),
        }
        for name, tensor in self._dense.items():
            batch[name] = tensor.index_select(0, torch.from_numpy(rows))
        for name, column in self._ragged.items():
            batch[name] = torch.from_numpy(column.padded(rows, FILL))
        return batch
