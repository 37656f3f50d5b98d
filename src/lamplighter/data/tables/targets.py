"""Reads the column to predict: as class indices or as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.data.tables import kinds, values
from lamplighter.data.tables.dialect import DELIMITERS
from lamplighter.data.tables.reading import TableFile

_MAX_CODES = 20


@dataclass(frozen=True)
class Target:
    """The column to predict.

    Attributes:
        name: of the column.
        values: int64 class indices (N,), or float64 numbers (N,).
        labels: names of the classes, index by index; empty when the target is a number.
        file: the table without the rows that have no target.
        notes: what was decided, for a person.
    """

    name: str
    values: np.ndarray
    labels: tuple[str, ...]
    file: TableFile
    notes: tuple[str, ...]


def read_target(
    file: TableFile, name: str, kind: Literal["category", "numeric"] | None = None, drop_blanks: bool = False
) -> Target:
    """The target of every row.

    Args:
        file: the table.
        name: the column.
        kind: None: see `guess_kind`.
        drop_blanks: leave out rows without a target.

    Raises:
        DataError: no such column, blanks (with their lines), a single value, a class of one row, or a text in a numeric
            target.
    """
    require_column(file, name)
    blanks = [row for row, cell in enumerate(file.column(name)) if cell is None]
    notes = []
    if blanks and not drop_blanks:
        raise DataError(_about_blanks(file, name, blanks))
    if blanks:
        notes.append(f"{len(blanks):,} of {len(file):,} rows have no '{name}' and are left out")
        file = file.select([row for row, cell in enumerate(file.column(name)) if cell is not None])
    if not len(file):
        raise DataError(f"{file.path}: no row has a value in the target column '{name}'")
    if kind is None:
        kind, note = guess_kind(file, name)
        notes += [note] if note else []
    if kind == "numeric":
        return Target(name, _numbers(file, name), (), file, tuple(notes))
    codes, labels = _classes(file, name)
    return Target(name, codes, labels, file, tuple(notes))


def read_sparse_target(file: TableFile, name: str, kind: Literal["category", "numeric"] | None = None) -> Target:
    """`read_target` of a column that may have blanks: -1 or NaN stands for them.

    Raises:
        DataError: as `read_target`.
    """
    require_column(file, name)
    cells = file.column(name)
    present = [row for row, cell in enumerate(cells) if cell is not None]
    alone = TableFile(file.path, {name: cells}, file.lines, file.dialect).select(present)
    found = read_target(alone, name, kind)
    full = np.full(len(file), -1, np.int64) if found.labels else np.full(len(file), np.nan)
    full[present] = found.values
    return Target(name, full, found.labels, file, found.notes)


def require_column(file: TableFile, name: str) -> None:
    """Refuse a column that the table lacks; say so when only the delimiter hides it.

    Raises:
        DataError: no such column.
    """
    if name not in file.columns and file.dialect:
        used = file.dialect.delimiter
        header = used.join(file.columns)
        for other in DELIMITERS:
            if other != used and name in [part.strip().strip('"') for part in header.split(other)]:
                shown = header if len(header) <= 80 else header[:77] + "..."
                raise DataError(
                    f"{file.path}: no column '{name}': the delimiter {used!r} of the recipe does not look right, "
                    f"the header is {shown!r}; set data.delimiter to {other!r}, or take it out to have it told from "
                    "the file"
                )
    file.column(name)


def guess_kind(file: TableFile, name: str) -> tuple[Literal["category", "numeric"], str]:
    """Whether a column without blanks holds classes or numbers, and a note when it is a matter of opinion.

    Texts, booleans and few whole numbers are classes. Few means two, or at most 20 that on average stand in as many
    rows as there are different ones.
    """
    cells = file.column(name)
    numbers, bad = values.numbers(cells, file.dialect.decimal if file.dialect else None)
    if bad:
        kinds.refuse_typing_errors(file, name, "numeric", bad)
        return "category", ""
    distinct = len(np.unique(numbers))
    whole = bool((numbers == np.floor(numbers)).all())
    if whole and distinct <= max(2, min(_MAX_CODES, int(len(numbers) ** 0.5))):
        note = f"target '{name}' has {distinct} different whole numbers, taken as classes"
        return "category", f"{note}; set target_kind: numeric to predict the number" if distinct > 2 else ""
    return "numeric", ""


def _numbers(file: TableFile, name: str) -> np.ndarray:
    numbers = kinds.typed(file, name, "numeric")
    if numbers.min() == numbers.max():
        raise DataError(f"{file.path}: target '{name}' is {numbers[0]:g} in every row; there is nothing to learn")
    return numbers


def _classes(file: TableFile, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    texts = kinds.typed(file, name, "category")
    labels, first, codes, counts = np.unique(texts, return_index=True, return_inverse=True, return_counts=True)
    if len(labels) < 2:
        raise DataError(f"{file.path}: target '{name}' is '{labels[0]}' in every row; it takes at least two classes")
    if counts.min() < 2:
        alone = np.flatnonzero(counts < 2)
        row = int(first[alone[0]])
        more = f" (and {len(alone) - 1:,} more of {len(labels):,} classes)" if len(alone) > 1 else ""
        decimal = file.dialect.decimal if file.dialect else None
        numbers = all(values.number(str(label), decimal) is not None for label in labels)
        ways = "add some, remove it, or predict the number: data: {target_kind: numeric}"
        raise DataError(
            f"{file.where(row)}: class '{labels[alone[0]]}' of target '{name}' has this single row{more}; a class "
            f"needs rows to train and to test on: {ways if numbers else 'add some, or remove it'}"
        )
    order = _reading_order([str(label) for label in labels])
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[codes.reshape(-1)], tuple(str(labels[position]) for position in order)


def _reading_order(labels: list[str]) -> list[int]:
    """Numbers by value (2 before 10), texts by the alphabet."""
    numbers = [values.number(label) for label in labels]
    if all(number is not None for number in numbers):
        return sorted(range(len(labels)), key=lambda position: numbers[position] or 0.0)
    return sorted(range(len(labels)), key=lambda position: labels[position])


def _about_blanks(file: TableFile, name: str, blanks: list[int]) -> str:
    first = ", ".join(str(file.lines[row]) for row in blanks[:5])
    more = ", ..." if len(blanks) > 5 else ""
    unit = ("line" if file.dialect else "row") + ("s" if len(blanks) > 1 else "")
    return (
        f"{file.path}: {len(blanks):,} of {len(file):,} rows have no value in the target column '{name}' "
        f"({unit} {first}{more}); fill them in, or leave those rows out with drop_blank_targets: true"
    )
