"""Rows of different lengths in one flat array; a batch of them, filled up to its longest, is one gather."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of integers.

    Attributes:
        flat: all rows one after the other, int32.
        offsets: (rows + 1,) int64, where each begins; the last is the length of ``flat``.

    >>> rows = Ragged.of([[5, 6, 7], [8]])
    >>> rows.lengths.tolist(), rows.padded(np.array([1, 0]), fill=0).tolist()
    ([3, 1], [[8, 0, 0], [5, 6, 7]])
    """

    flat: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[int] | np.ndarray]) -> Ragged:
        """From lists or arrays."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        flat = np.empty(int(lengths.sum()), dtype=np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        for start, row in zip(offsets, rows):
            flat[start : start + len(row)] = row
        return cls(flat, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> np.ndarray:
        return self.flat[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """(rows,) int64."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> Ragged:
        """Some rows, in the order given."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        index = np.arange(int(offsets[-1])) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Ragged(self.flat[index], offsets)

    def padded(self, rows: np.ndarray, fill: int) -> np.ndarray:
        """int64 (len(rows), longest of them), filled up on the right."""
        lengths = self.lengths[rows]
        width = int(lengths.max(initial=0))
        places = np.arange(width)
        present = places < lengths[:, None]
        index = np.where(present, self.offsets[rows][:, None] + places, 0)
        if not len(self.flat):
            return np.full(present.shape, fill, dtype=np.int64)
        return np.where(present, self.flat[index], fill).astype(np.int64)

    def present(self, rows: np.ndarray) -> np.ndarray:
        """bool (len(rows), longest of them): True where `padded` has a value of the row."""
        lengths = self.lengths[rows]
        mask: np.ndarray = np.arange(int(lengths.max(initial=0))) < lengths[:, None]
        return mask
