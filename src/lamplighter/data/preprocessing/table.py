"""Rows of a table -> one float32 matrix; the same code for training and serving, without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from lamplighter.core.errors import InputError
from lamplighter.core.registry import did_you_mean
from lamplighter.data.preprocessing.pipeline import Tensors
from lamplighter.data.tables import values
from lamplighter.data.tables.encodings import Boolean, Category, Date, Encoding, Numeric
from lamplighter.data.tables.values import DateOrder


class EncodeTable:
    """Turns row dicts into a matrix ``x`` (rows, features), each column as `lamplighter.data.tables.encodings` says.

    Values are JSON: numbers, texts, booleans, null. A number may come as text (``"2.5"``); a boolean as true, t, yes,
    y, 1, false, f, no, n or 0 in any case; a date as ``2024-01-31`` with an optional time. Null, an absent field and
    the texts of `lamplighter.data.tables.values.MISSING` (``""``, ``NA``, ``?``, ...) are blanks: refused in a column
    that had none in the training file. Categories never seen are accepted.

    Args:
        columns: fitted encodings, in the order of their features.
        ignored: further fields that rows may have, such as the target or columns the model does not use.
        missing: texts that mean "no value" besides the usual ones.

    >>> encode = EncodeTable((
    ...     Numeric(name="age", mean=40.0, std=10.0, fill=38.0),
    ...     Category(name="city", categories=("Rome", "Oslo")),
    ... ))
    >>> encode([{"age": 50, "city": "Oslo"}, {"age": "35", "city": "Lima"}])["x"]
    array([[ 1. ,  0. ,  1. ],
           [-0.5,  0. ,  0. ]], dtype=float32)
    """

    def __init__(
        self,
        columns: Annotated[tuple[Encoding, ...], Field(min_length=1)],
        ignored: tuple[str, ...] = (),
        missing: tuple[str, ...] = (),
    ) -> None:
        self.columns = columns
        self.width = sum(column.width for column in columns)
        self._missing = frozenset(missing)
        self._names = [column.name for column in columns]
        self._known = frozenset([*self._names, *ignored])

    @classmethod
    def fit(
        cls,
        columns: Mapping[str, np.ndarray],
        kinds: Mapping[str, str],
        train: np.ndarray,
        max_categories: int = 50,
        order: DateOrder | None = None,
        ignored: tuple[str, ...] = (),
        missing: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """The step's specification, fitted on the training rows.

        Args:
            columns: name -> array of all rows as `lamplighter.data.tables.kinds.typed` makes it.
            kinds: name -> ``numeric``, ``category``, ``boolean`` or ``date``.
            train: int64 positions of the training rows; from other rows only whether a column has blanks is taken.
            max_categories: size of a vocabulary at most.
            order: of day and month in dates that end in the year.
            ignored: see the class.
            missing: see the class.

        Returns:
            JSON: ``{"name": "encode-table", "columns": [...], ...}``.
        """
        fitted: list[Numeric | Boolean | Category | Date] = []
        for name, column in columns.items():
            if kinds[name] == "numeric":
                fitted.append(Numeric.fit(name, column, train))
            elif kinds[name] == "boolean":
                fitted.append(Boolean.fit(name, column, train))
            elif kinds[name] == "date":
                fitted.append(Date.fit(name, column, train, order))
            else:
                fitted.append(Category.fit(name, column, train, max_categories))
        return {
            "name": "encode-table",
            "columns": [encoding.model_dump(mode="json") for encoding in fitted],
            "ignored": list(ignored),
            "missing": list(missing),
        }

    def __call__(self, rows: Sequence[Any]) -> Tensors:
        """Encode rows.

        Args:
            rows: dicts from field to value.

        Returns:
            ``{"x": float32 (rows, width)}``.

        Raises:
            InputError: names row and field.
        """
        return {"x": self.encode(self.parse(rows))}

    def parse(self, rows: Sequence[Any]) -> dict[str, np.ndarray]:
        """Arrays by column: float64 with NaN, datetime64[us] with NaT, or objects with None, where blank.

        Raises:
            InputError: a row that is no dict, an unknown field, a blank in a required field, a value of another type.
        """
        for position, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise InputError(
                    f"expected an object with the fields {self._listed()}, not {_short(row)}", row=position
                )
            if not row.keys() <= self._known:
                field = next(str(key) for key in row if key not in self._known)
                hint = did_you_mean(field, self._names)
                raise InputError(f"unknown field{hint}; fields: {self._listed()}", row=position, field=field)
        return {
            column.name: self._parse_column(column, [row.get(column.name) for row in rows]) for column in self.columns
        }

    def encode(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """The matrix of parsed columns.

        Args:
            columns: as `parse` returns them.

        Returns:
            float32 (rows, width).

        Raises:
            InputError: a number so large that it has no float32 after scaling.
        """
        x = np.empty((len(columns[self._names[0]]), self.width))
        start = 0
        for column in self.columns:
            x[:, start : start + column.width] = column.encode(columns[column.name])
            start += column.width
        with np.errstate(over="ignore"):
            narrow = x.astype(np.float32)
        if not np.isfinite(narrow).all():
            row, position = np.argwhere(~np.isfinite(narrow))[0]
            ends = np.cumsum([column.width for column in self.columns])
            field = self._names[int(np.searchsorted(ends, position, side="right"))]
            raise InputError("the number is too large for this model", row=int(row), field=field)
        return narrow

    def features(self, rows: Sequence[Any]) -> np.ndarray:
        """What the monitor watches: one number for each column, unscaled.

        Numbers as they are, dates in days since 1970-01-01, booleans 0 and 1, categories as index into the vocabulary
        with its length for unseen ones; NaN where missing.

        Args:
            rows: as for ``__call__``.

        Returns:
            float32 (rows, columns), in the order of `feature_specs`.
        """
        columns = self.parse(rows)
        watched = [column.feature(columns[column.name]) for column in self.columns]
        with np.errstate(over="ignore"):
            return np.stack(watched, axis=1).astype(np.float32)

    def feature_specs(self) -> list[dict[str, Any]]:
        """Name, kind (``numeric`` or ``category``) and categories of each column of `features`."""
        return [column.spec() for column in self.columns]

    def _parse_column(self, column: Encoding, cells: list[Any]) -> np.ndarray:
        if self._missing or any(issubclass(kind, str) for kind in set(map(type, cells))):
            cells = [None if values.is_missing(cell, self._missing) else cell for cell in cells]
        blank = next((position for position, cell in enumerate(cells) if cell is None), None)
        if column.required and blank is not None:
            raise InputError("is required: no training row was without it", row=blank, field=column.name)
        array, bad = column.parse(cells)
        if bad:
            message = f"expected {column.expected}, not {_short(cells[bad[0]])}"
            raise InputError(message, row=bad[0], field=column.name)
        return array

    def _listed(self) -> str:
        return ", ".join(self._names)


def _short(value: Any) -> str:
    """The value as the client wrote it, cut to a line; texts in single quotes."""
    text = f"'{value}'" if isinstance(value, str) else json.dumps(value, default=repr, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
