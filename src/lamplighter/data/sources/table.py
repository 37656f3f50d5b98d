"""Rows of a CSV or Parquet file: predicts one column from the others."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from lamplighter.core.errors import DataError, InputError
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data import selection
from lamplighter.data.places import existing
from lamplighter.data.preprocessing.pipeline import Pipeline
from lamplighter.data.preprocessing.table import EncodeTable
from lamplighter.data.rows import TensorRows
from lamplighter.data.selection import Select
from lamplighter.data.split_rules import SplitBy, SplitKeys, SplitOfTable, keys_of_table, report
from lamplighter.data.splits import Splits
from lamplighter.data.tables import kinds as column_kinds
from lamplighter.data.tables.encodings import moments
from lamplighter.data.tables.kinds import ColumnKind
from lamplighter.data.tables.reading import TableFile, read_table
from lamplighter.data.tables.targets import Target, read_target, require_column
from lamplighter.data.tables.values import DateOrder

_SHARES = (0.7, 0.15, 0.15)


class Table:
    """A table with one target column.

    What is left out is told from the file and written into the resolved recipe, so that a later file that is written
    differently is refused with file, line and column instead of being misread.

    Args:
        path: a CSV or Parquet file.
        target: the column to predict.
        target_kind: category (classification) or numeric (regression); null: words, booleans and few whole numbers are
            categories, other numbers numeric.
        columns: kind of input columns; ignore leaves one out. Those not named are told from the data.
        infer_columns: false refuses a column of the file that 'columns' does not name.
        delimiter: between the fields of a CSV file.
        encoding: of a CSV file, for instance utf-8 or cp1252.
        decimal: decimal sign of a CSV file.
        date_order: dmy when 01/02/2024 is the first of February, mdy when it is the second of January.
        missing: texts that mean a missing value, besides an empty field, NA, N/A, #N/A, NaN, null, ? and -.
        drop_blank_targets: leave out rows without a target instead of refusing them.
        max_categories: categories of a column that get an input of their own, the most frequent first.
        split: shares of train, val and test; or how to divide: {by: group, column: patient} keeps rows of one value
            together, {by: time, column: date} trains on the past.
        select: keep only the columns that say most about the target on the training rows; null: all.
        seed: of the split.
        splits: a persisted split to use again.

    Attributes:
        notes: what was decided about columns, one line each, for a person.
        split_keys: what divisions of the rows respect.

    Raises:
        DataError: the file or a column cannot be used; says where and what to do.
    """

    def __init__(
        self,
        path: str,
        target: str,
        target_kind: Literal["category", "numeric"] | None = None,
        columns: dict[str, ColumnKind] | None = None,
        infer_columns: bool = True,
        delimiter: Annotated[str | None, Field(min_length=1, max_length=1)] = None,
        encoding: str | None = None,
        decimal: Literal[".", ","] | None = None,
        date_order: DateOrder | None = None,
        missing: tuple[str, ...] = (),
        drop_blank_targets: bool = False,
        max_categories: Annotated[int, Field(gt=0)] = 50,
        split: SplitOfTable = _SHARES,
        select: Select | None = None,
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        file = read_table(existing(path), delimiter, encoding, decimal, missing)
        goal = read_target(file, target, target_kind, drop_blank_targets)
        file = goal.file
        self.notes = list(goal.notes)
        rule = split if isinstance(split, SplitBy) else None
        given = {**_not_an_input(rule, file, target), **(columns or {})}
        order, kinds, notes = column_kinds.decide(file, target, given, infer_columns, date_order)
        if rule and rule.by == "time" and order is None:
            order, doubt = column_kinds.date_order(file, [rule.column])
            notes += [doubt] if doubt else []
        self.notes += notes
        used = [name for name, kind in kinds.items() if kind != "ignore"]
        if not used:
            reasons = "; ".join(self.notes) or "the table has no other, or the recipe ignores all"
            raise DataError(f"{path}: no column is left to predict '{target}' from: {reasons}")
        self._arrays = {name: column_kinds.typed(file, name, kinds[name], order) for name in used}
        self._file = dataclasses.replace(file, columns={})  # still names lines; the cells are read
        self._target, self._missing = goal, missing
        classes = goal.values if goal.labels else None
        self.split_keys = keys_of_table(file, rule, classes, order) if rule else SplitKeys(len(file), classes)
        shares = (rule.shares or _SHARES) if rule else split
        assert isinstance(shares, tuple)
        self.splits = splits if splits is not None else self.split_keys.split(shares, seed)
        self.splits.check(len(file))
        self.notes += [report(self.split_keys, self.splits, rule)] if rule else []
        _check_classes(self.splits, file, goal)
        self._columns = self._arrays
        if select is not None:
            self._arrays = self._selected(select, kinds, max_categories, seed)
        ignored = tuple(name for name in file.columns if name not in self._arrays)
        spec = EncodeTable.fit(self._arrays, kinds, self.splits.train, max_categories, order, ignored, missing)
        self.preprocessing = Pipeline([spec])
        encode = self.preprocessing.steps[0]
        assert isinstance(encode, EncodeTable)
        self._encode = encode
        self.signature = self._signature(goal)
        self._rows: dict[str, TensorRows] = {}
        self._resolved = {
            "path": path,
            "target": target,
            "target_kind": "category" if goal.labels else "numeric",
            "columns": kinds,
            "infer_columns": False,
            "delimiter": file.dialect.delimiter if file.dialect else None,
            "encoding": file.dialect.encoding if file.dialect else None,
            "decimal": file.dialect.decimal if file.dialect else None,
            "date_order": order,
            "missing": list(missing),
            "drop_blank_targets": drop_blank_targets,
            "max_categories": max_categories,
            "split": rule.model_dump(mode="json") if rule else list(shares),
            "select": select.model_dump(mode="json") if select else None,
        }

    def split(self, name: str) -> TensorRows:
        """``x`` float32 (rows, features), and ``y`` int64 (rows,) or float32 (rows, 1)."""
        if name not in self._rows:
            positions = self.splits[name]
            y = self._target.values[positions]
            self._rows[name] = TensorRows(
                {
                    "x": torch.from_numpy(self._encoded(positions)),
                    "y": torch.from_numpy(y if self._target.labels else y.astype(np.float32)[:, None]),
                }
            )
        return self._rows[name]

    def raw(self, name: str, indices: np.ndarray) -> list[dict[str, Any]]:
        """Rows as a client would send them; dates as ISO 8601 text, blanks as None."""
        positions = self.splits[name][indices]
        columns = {column: _as_json(array[positions]) for column, array in self._arrays.items()}
        return [dict(zip(columns, row)) for row in zip(*columns.values())]

    def target_statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of a numeric target over the training rows, in its own unit.

        Raises:
            DataError: the target is a category.
        """
        if self._target.labels:
            raise DataError(f"the target '{self._target.name}' is a category and has no mean")
        mean, std, _ = moments(self._target.values[self.splits.train])
        return [mean], [std]

    def table(self) -> TableFile:
        """The file read again, all its columns, without the rows that were left out."""
        form = self._file.dialect
        how = (form.delimiter, form.encoding, form.decimal) if form else (None, None, None)
        delimiter, encoding, decimal = how
        file = read_table(self._file.path, delimiter, encoding, decimal, self._missing)
        kind: Literal["category", "numeric"] = "category" if self._target.labels else "numeric"
        return read_target(file, self._target.name, kind, drop_blanks=True).file

    def columns(self) -> dict[str, np.ndarray]:
        """All input columns, also those that were not selected: float64, datetime64[us] or objects, one a row."""
        return dict(self._columns)

    def resolved(self) -> dict[str, Any]:
        """Every parameter with what the file decided."""
        return dict(self._resolved)

    def _selected(
        self, select: Select, kinds: dict[str, ColumnKind], max_categories: int, seed: int
    ) -> dict[str, np.ndarray]:
        """The chosen columns; fitted on the training rows."""
        y = self._target.values
        scores = selection.score(self._columns, kinds, y, self.splits.train, select.method, max_categories, seed)
        chosen = selection.choose(scores, select.keep)
        first = sorted(chosen, key=lambda name: -scores[name])[:5]
        more = ", ..." if len(chosen) > 5 else ""
        self.notes.append(
            f"selected {len(chosen):,} of {len(scores):,} columns by {select.method} on the training rows: "
            f"{', '.join(first)}{more}"
        )
        return {name: self._columns[name] for name in chosen}

    def _signature(self, goal: Target) -> Signature:
        inputs = tuple(
            Column(
                name=encoding.name,
                kind=encoding.kind,
                categories=getattr(encoding, "categories", ()),
                required=encoding.required,
            )
            for encoding in self._encode.columns
        )
        target = Column(name=goal.name, kind="category" if goal.labels else "numeric", categories=goal.labels)
        tensor = TensorSpec(name="x", dtype="float32", shape=(self._encode.width,))
        return Signature(inputs=inputs, tensors=(tensor,), targets=(target,))

    def _encoded(self, positions: np.ndarray) -> np.ndarray:
        try:
            return self._encode.encode({name: array[positions] for name, array in self._arrays.items()})
        except InputError as error:
            where = self._file.where(int(positions[error.row or 0]))
            raise DataError(f"{where}: column '{error.field}': {error.reason}") from None


def _not_an_input(rule: SplitBy | None, file: TableFile, target: str) -> dict[str, ColumnKind]:
    """The column that rows are divided by is no input, unless the recipe gives it a kind."""
    if rule is None:
        return {}
    require_column(file, rule.column)
    if rule.column == target:
        raise DataError(f"data.split: '{target}' is the target; name another column to split by")
    return {rule.column: "ignore"}


def _check_classes(splits: Splits, file: TableFile, goal: Target) -> None:
    absent = set(range(len(goal.labels))) - set(goal.values[splits.train].tolist())
    if absent:
        label = goal.labels[min(absent)]
        raise DataError(f"{file.path}: no row of class '{label}' fell into the training split; it needs more rows")


def _as_json(array: np.ndarray) -> list[Any]:
    if array.dtype.kind == "M":
        midnight = bool((array[~np.isnat(array)] == array[~np.isnat(array)].astype("datetime64[D]")).all())
        texts = np.datetime_as_string(array, unit="D" if midnight else "us").tolist()
        return [None if blank else text for text, blank in zip(texts, np.isnat(array))]
    if array.dtype == object:
        return list(array.tolist())
    return [None if value != value else _shortest(value) for value in array.tolist()]


def _shortest(value: float) -> float:
    """3 instead of 3.0, where both are the same number."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
