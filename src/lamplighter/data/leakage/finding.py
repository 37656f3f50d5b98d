"""What a leakage check reports, and how it names rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from lamplighter.data.splits import NAMES

SHOWN = 5
Check = Literal["exact-duplicates", "near-duplicates", "group", "target-copy", "single-column", "time-order"]


@dataclass(frozen=True)
class Finding:
    """One way in which a split leaks.

    Attributes:
        check: which check found it.
        certain: True: the scores are flattered; False: they are if the column means what it seems to mean.
        message: what was found, in one sentence.
        rows: how many rows it concerns.
        examples: a few of them, or of their values.
        advice: what to do.
    """

    check: Check
    certain: bool
    message: str
    rows: int
    examples: tuple[str, ...]
    advice: str

    def __str__(self) -> str:
        shown = f" (for instance {'; '.join(self.examples)})" if self.examples else ""
        return f"{self.message}{shown}. {self.advice}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {**asdict(self), "examples": list(self.examples)}


def rows_of(source: Any) -> dict[str, np.ndarray]:
    """Positions of the rows of each split.

    Where rows are packed (`lamplighter.data.sources.text_files.TextFiles`), what ``splits`` divides are no rows; these
    are then counted through, first those of train.
    """
    if not getattr(source, "packed", False):
        return {name: source.splits[name] for name in NAMES}
    ends = np.cumsum([len(source.split(name)) for name in NAMES])
    return dict(zip(NAMES, np.split(np.arange(ends[-1]), ends[:-1])))


def split_of_rows(splits: Any, rows: int) -> np.ndarray:
    """(rows,) 0 train, 1 val, 2 test, -1 in no split."""
    part = np.full(rows, -1)
    for number, name in enumerate(NAMES):
        part[splits[name]] = number
    return part


def row_names(source: Any) -> Callable[[int], str]:
    """How to name a row of a data set: file and line of a table, path of an image, else its position."""
    if hasattr(source, "table"):
        return source.table().where
    splits = rows_of(source)
    part = split_of_rows(splits, 1 + max(int(splits[name].max()) for name in NAMES))

    def name(row: int) -> str:
        split = NAMES[part[row]]
        (raw,) = source.raw(split, np.flatnonzero(splits[split] == row))
        return raw if isinstance(raw, str) else f"row {row} ({split})"

    return name


def counted(rows_by_split: dict[str, int], sizes: dict[str, int]) -> str:
    """``12 of 270 test rows and 9 of 269 val rows``.

    >>> counted({"val": 0, "test": 12}, {"val": 269, "test": 1270})
    '12 of 1,270 test rows'
    """
    found = [
        f"{rows_by_split[name]:,} of {sizes[name]:,} {name} rows" for name in ("test", "val") if rows_by_split.get(name)
    ]
    return " and ".join(found)
