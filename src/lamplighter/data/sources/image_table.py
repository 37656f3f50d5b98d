"""Images listed in a table, with one or more target columns."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from lamplighter.core.errors import DataError
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Column, Signature
from lamplighter.data.places import existing
from lamplighter.data.sources._images import SHOWN, Format, ImageRows, Images, Statistics, decide_format
from lamplighter.data.split_rules import SplitBy, SplitKeys, SplitOfTable, keys_of_table, report
from lamplighter.data.splits import NAMES, Splits
from lamplighter.data.tables import values
from lamplighter.data.tables.encodings import moments
from lamplighter.data.tables.kinds import date_order
from lamplighter.data.tables.reading import TableFile, read_table
from lamplighter.data.tables.targets import Target, read_sparse_target, require_column

Size = Annotated[int, Field(ge=1)]
_SHARES = (0.8, 0.1, 0.1)


class ImageTable:
    """A CSV or Parquet file with a column of image paths and target columns, in which blanks are allowed.

    One target of classes is trained as classification, one or more of numbers as regression. Every image is decoded
    once at the start: a missing or damaged one stops the run and is named with its line.

    Args:
        path: a CSV or Parquet file.
        targets: the columns to predict.
        image: the column of image paths, relative to the folder of the table.
        target_kind: of a single target: category (classification) or numeric (regression); null: words, booleans and
            few whole numbers are categories, other numbers numeric.
        size: height and width that images are brought to; null: the size they have if it is one, else 64 x 64.
        channels: 1 gray, 3 colour, 4 with transparency, or the number the files have; auto: 1 if all are gray.
        bits: 8 or 16; auto: 16 if any image has 16.
        delimiter: between the fields of a CSV file.
        encoding: of a CSV file, for instance utf-8 or cp1252.
        decimal: decimal sign of a CSV file.
        missing: texts that mean a missing value, besides an empty field, NA, N/A, #N/A, NaN, null, ? and -.
        split: shares of train, val and test; or how to divide: {by: group, column: patient} keeps rows of one value
            together, {by: time, column: date} trains on the past.
        cache_mb: megabytes that decoded images may take; beyond that they are decoded again for each batch.
        seed: of the split.
        splits: a persisted split to use again.

    Attributes:
        notes: what was decided or stands out, one line each, for a person.
        split_keys: what divisions of the rows respect.

    Raises:
        DataError: the table, a target or an image cannot be used; says where and what to do.
    """

    def __init__(
        self,
        path: str,
        targets: Annotated[tuple[str, ...], Field(min_length=1)],
        image: str = "image",
        target_kind: Literal["category", "numeric"] | None = None,
        size: tuple[Size, Size] | None = None,
        channels: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto",
        bits: Literal["auto", 8, 16] = "auto",
        delimiter: Annotated[str | None, Field(min_length=1, max_length=1)] = None,
        encoding: str | None = None,
        decimal: Literal[".", ","] | None = None,
        missing: tuple[str, ...] = (),
        split: SplitOfTable = _SHARES,
        cache_mb: Annotated[int, Field(ge=0)] = 2048,
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        file = read_table(existing(path), delimiter, encoding, decimal, missing)
        paths = list_paths(file, image)
        goals = _targets(file, targets, target_kind)
        self.notes = [note for goal in goals for note in goal.notes] + _repeated(paths)
        self._labels = goals[0].labels
        self._values = goals[0].values if self._labels else np.stack([goal.values for goal in goals], axis=1)
        self.split_keys, shares = _keys(file, split, self._values if self._labels else None, self.notes)
        self.splits = splits if splits is not None else self.split_keys.split(shares, seed)
        self.splits.check(len(file))
        self.notes += [report(self.split_keys, self.splits, split)] if isinstance(split, SplitBy) else []
        _check_blanks(self.splits, goals, file)
        self._targets = tuple(targets)
        self._file, self._missing = dataclasses.replace(file, columns={}), missing
        self._format, self._images = _decoded(file, paths, size, channels, bits, cache_mb)
        self.preprocessing = self._images.preprocessing
        self._y = torch.from_numpy(self._values if self._labels else self._values.astype(np.float32))
        self.signature = self._signature()
        self._resolved = {
            "target_kind": "category" if self._labels else "numeric",
            "delimiter": file.dialect.delimiter if file.dialect else None,
            "encoding": file.dialect.encoding if file.dialect else None,
            "decimal": file.dialect.decimal if file.dialect else None,
            "size": list(self._format.size),
            "channels": self._format.channels,
            "bits": self._format.bits,
        }

    def split(self, name: str) -> ImageRows:
        """``x``, and ``y``: int64 (rows,) with -1 for a blank, or float32 (rows, targets) with NaN for a blank."""
        return ImageRows(self._images, self._y, self.splits[name])

    def raw(self, name: str, indices: np.ndarray) -> list[str]:
        """Paths of the files."""
        return [str(self._images.paths[position]) for position in self.splits[name][indices]]

    def table(self) -> TableFile:
        """The file read again, with all its columns."""
        form = self._file.dialect
        how = (form.delimiter, form.encoding, form.decimal) if form else (None, None, None)
        delimiter, encoding, decimal = how
        return read_table(self._file.path, delimiter, encoding, decimal, self._missing)

    def statistics(self) -> Statistics:
        """Mean and deviation of each channel over the training images, in raw units."""
        return {"x": self._images.statistics(self.splits.train)}

    def target_statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each numeric target over the training rows, blanks left out.

        Raises:
            DataError: the target is a category.
        """
        if self._labels:
            raise DataError(f"the target '{self._targets[0]}' is a category and has no mean")
        found = [moments(column) for column in self._values[self.splits.train].T]
        return [mean for mean, _, _ in found], [std for _, std, _ in found]

    def resolved(self) -> dict[str, Any]:
        """The parameters that the files decided."""
        return dict(self._resolved)

    def _signature(self) -> Signature:
        kind: Literal["category", "numeric"] = "category" if self._labels else "numeric"
        targets = tuple(Column(name=name, kind=kind, categories=self._labels) for name in self._targets)
        return Signature(inputs=(self._format.column(),), tensors=(self._format.tensor(),), targets=targets)


def _keys(
    file: TableFile, split: tuple[float, float, float] | SplitBy, classes: np.ndarray | None, notes: list[str]
) -> tuple[SplitKeys, tuple[float, float, float]]:
    """What divisions respect, and the shares."""
    if not isinstance(split, SplitBy):
        return SplitKeys(len(file), classes), split
    require_column(file, split.column)
    order, doubt = date_order(file, [split.column])
    if split.by == "time" and doubt:
        notes.append(doubt.partition("; if")[0])
    return keys_of_table(file, split, classes, order), split.shares or _SHARES


def list_paths(file: TableFile, image: str) -> list[Path]:
    """The image of every row.

    Raises:
        DataError: blanks, or up to ten files that do not exist.
    """
    require_column(file, image)
    cells = file.column(image)
    blanks = [row for row, cell in enumerate(cells) if cell is None]
    if blanks:
        raise DataError(f"{file.where(blanks[0])}: no image path in column '{image}' ({len(blanks):,} such rows)")
    paths = [file.path.parent / Path(str(cell)).expanduser() for cell in cells]
    absent = [row for row, path in enumerate(paths) if not path.is_file()]
    if absent:
        shown = [f"  {file.where(row)}: {paths[row]}" for row in absent[:SHOWN]]
        more = [f"  ... and {len(absent) - SHOWN:,} more"] if len(absent) > SHOWN else []
        head = f"{len(absent):,} of {len(paths):,} images do not exist; paths count from the folder of the table:"
        raise DataError("\n".join([head, *shown, *more]))
    return paths


def _targets(file: TableFile, names: tuple[str, ...], kind: Literal["category", "numeric"] | None) -> list[Target]:
    """One target of classes, or any number of numeric ones."""
    if len(names) == 1:
        return [read_sparse_target(file, names[0], kind)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"data.targets: '{twice[0]}' stands there twice")
    words = [name for name in names if kind == "category" or not _is_numeric(file, name)]
    if words:
        listed = ", ".join(f"'{name}'" for name in words)
        raise DataError(
            f"{file.path}: {listed} hold{'s' if len(words) == 1 else ''} categories; a model is trained on one "
            "category target or on any number of numeric ones: name one of them alone, or numeric columns only"
        )
    return [read_sparse_target(file, name, "numeric") for name in names]


def _is_numeric(file: TableFile, name: str) -> bool:
    """Numbers, or so many of them that the rest are typing errors (which reading the column then names)."""
    _, bad = values.numbers(file.column(name), file.dialect.decimal if file.dialect else None)
    return len(bad) * 20 <= len(file)


def _check_blanks(splits: Splits, goals: list[Target], file: TableFile) -> None:
    for goal in goals:
        blank = goal.values < 0 if goal.labels else np.isnan(goal.values)
        for name in NAMES:
            if blank[splits[name]].all():
                raise DataError(f"{file.path}: no row of the {name} split has a value in '{goal.name}'; add such rows")
        absent = set(range(len(goal.labels))) - set(goal.values[splits.train].tolist())
        if absent:
            label = goal.labels[min(absent)]
            raise DataError(f"{file.path}: no row of class '{label}' fell into the training split; it needs more rows")


def _repeated(paths: list[Path]) -> list[str]:
    repeated = len(paths) - len(set(paths))
    note = f"{repeated:,} rows name an image that an earlier row has; if their splits differ, the scores flatter"
    return [note] if repeated else []


def _decoded(
    file: TableFile,
    paths: list[Path],
    size: tuple[int, int] | None,
    channels: int | Literal["auto"],
    bits: int | Literal["auto"],
    cache_mb: int,
) -> tuple[Format, Images]:
    try:
        layout = decide_format(paths, size, channels, bits)
        return layout, Images(paths, layout.preprocessing(), layout.tensor(), cache_mb)
    except DataError as error:
        raise DataError(_with_lines(str(error), file, paths)) from None


def _with_lines(message: str, file: TableFile, paths: list[Path]) -> str:
    """Put the line of the table before each file that a message lists, ``"  path: reason"``."""
    listed = []
    for text in message.split("\n"):
        row = next((row for row, path in enumerate(paths) if text.startswith(f"  {path}: ")), None)
        listed.append(text if row is None else f"  {file.where(row)}: {text.strip()}")
    return "\n".join(listed)
