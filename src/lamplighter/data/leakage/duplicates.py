"""Rows that stand in two splits, to the last bit; fast enough to be looked for before every training."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import numpy as np

from lamplighter.data.leakage import content
from lamplighter.data.leakage.content import Content
from lamplighter.data.leakage.finding import SHOWN, Finding, counted, row_names
from lamplighter.data.source import Source

_CHANCE = 0.01  # expected number of accidental pairs up to which an equal row is no accident
_BYTES = 64 * 2**20


def note(source: Source) -> str | None:
    """One line about rows that stand in two splits, or None; also None for data that are decoded or very large.

    Takes about half a second for the 70,000 images of Fashion-MNIST.

    Args:
        source: about to be trained on.
    """
    if not content.in_memory(source, _BYTES):
        return None
    found = exact(content.read(source), source)
    return str(found) if found else None


def exact(rows: Content, source: Source) -> Finding | None:
    """Validation and test rows whose inputs equal those of a row of an earlier split.

    In a table of few values rows are equal by accident. A row counts only if its values are so rare that fewer than
    0.01 accidental pairs of equal rows would be expected among columns that know nothing of each other.

    Args:
        rows: of the source.
        source: for the names of rows.
    """
    keys, surprise = _of_table(rows.columns) if rows.columns is not None else _of_arrays(rows.x)
    first: dict[bytes, int] = {}
    pairs = []
    for row in np.argsort(rows.part, kind="stable"):  # train, val, test
        earlier = first.setdefault(keys[row], int(row))
        if rows.part[earlier] < rows.part[row]:
            pairs.append((int(row), earlier))
    chances = {0: 0.0, 1: math.log2(max(1, (rows.part == 0).sum()) * max(1, (rows.part == 1).sum()))}
    chances[2] = math.log2(max(1, (rows.part < 2).sum()) * max(1, (rows.part == 2).sum()))
    pairs = [(row, twin) for row, twin in pairs if 2.0 ** (chances[int(rows.part[row])] - surprise[row]) < _CHANCE]
    if not pairs:
        return None
    found = {name: sum(rows.part[row] == number for row, _ in pairs) for number, name in ((1, "val"), (2, "test"))}
    return Finding(
        check="exact-duplicates",
        certain=True,
        message=f"{counted(found, rows.sizes)} have the same inputs as a row of an earlier split",
        rows=len(pairs),
        examples=examples(pairs, rows, row_names(source)),
        advice="Remove the copies from the texts"
        if getattr(source, "packed", False)
        else "Remove the copies, or keep them together: data: {split: {by: group, ...}}",
    )


def examples(pairs: list[tuple[int, int]], rows: Content, name: Callable[[int], str]) -> tuple[str, ...]:
    """``a = b`` for the first pairs."""
    return tuple(f"{name(int(rows.positions[a]))} = {name(int(rows.positions[b]))}" for a, b in pairs[:SHOWN])


def _of_arrays(x: np.ndarray | None) -> tuple[list[bytes], np.ndarray]:
    """A digest of each row; rows of one value, such as blank images, count for nothing."""
    assert x is not None
    flat = np.ascontiguousarray(x.reshape(len(x), -1))
    keys = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in flat]
    varied = flat.min(axis=1) != flat.max(axis=1)
    return keys, np.where(varied, np.inf, 0.0)


def _of_table(columns: dict[str, np.ndarray]) -> tuple[list[bytes], np.ndarray]:
    """A key of each row, and how rare its values are: the sum over columns of -log2(share), in bits."""
    coded, surprise = [], np.zeros(len(next(iter(columns.values()))))
    for column in columns.values():
        values = np.array(["" if cell is None else f"={cell}" for cell in column]) if column.dtype == object else column
        code = np.unique(values, return_inverse=True)[1].reshape(-1)
        coded.append(code.astype(np.int32))
        surprise += np.log2(len(code) / np.bincount(code)[code])
    table = np.stack(coded, axis=1)
    return [row.tobytes() for row in table], surprise
