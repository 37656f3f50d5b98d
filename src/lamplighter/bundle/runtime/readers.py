"""Rows to predict, one by one, out of a table file, a file of JSON lines, an array, or a folder of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.core.registry import did_you_mean
from lamplighter.core.signature import Signature
from lamplighter.data.preprocessing.reading import SUFFIXES
from lamplighter.data.tables import csv, jsonl, parquet, values
from lamplighter.data.tables.dialect import sniff

_PEEK = 1000
_BLOCK = 1 << 20


class Item(NamedTuple):
    """One row of an input.

    Attributes:
        cells: as the input has them, to be written beside the answer.
        row: what the model takes.
        where: file and line for messages; empty when the row names itself.
    """

    cells: dict[str, Any]
    row: Any
    where: str


@dataclass(frozen=True)
class Input:
    """An opened input.

    Attributes:
        names: its columns; for JSON lines those of the first 1,000.
        items: its rows, read as they are asked for.
        count: how many rows there are, or nearly (a CSV field may hold line ends); slow on large files, so a function.
    """

    names: list[str]
    items: Iterator[Item]
    count: Callable[[], int]


def open_input(
    path: Path, signature: Signature, default_decimal: str | None = None, missing: tuple[str, ...] = ()
) -> Input:
    """Open a file or folder for a model.

    Args:
        path: CSV or Parquet; ``.jsonl``; ``.txt`` with a text a line for models of one text; a folder of images or one
            image; ``.npy`` for models of plain arrays. A table for an image model holds paths, from its own folder on,
            in the column named like the input.
        signature: of the model.
        default_decimal: decimal sign of a CSV file that does not tell its own.
        missing: texts of a CSV file that mean "no value", besides `lamplighter.data.tables.values.MISSING`.

    Raises:
        DataError: no such file, a kind of file that does not suit the model, a missing column.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    kind = signature.inputs[0].kind
    suffix = path.suffix.lower()
    if path.is_dir() or suffix in SUFFIXES:
        if kind != "image":
            raise DataError(f"{path}: this model takes a table (CSV, Parquet or JSON lines), not images")
        return _images(path)
    if suffix == ".npy":
        if kind != "array":
            raise DataError(f"{path}: this model takes {kind} input, not plain arrays; see its card.md")
        return _array(path)
    if jsonl.is_jsonl(path):
        return _json_lines(path, signature)
    if suffix == ".txt" and kind == "text" and len(signature.inputs) == 1:
        return _text_lines(path, signature.inputs[0].name)
    if suffix in (".parquet", ".pq") or parquet.is_parquet(path):
        return _parquet(path, signature)
    return _csv(path, signature, default_decimal, missing)


def table_habits(recipe: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """Decimal sign and missing markers of the table that a bundle was trained on.

    Args:
        recipe: of the manifest; a source without tables has neither, and one of a user's own may mean something else
            by these keys.
    """
    data = recipe.get("data", {})
    decimal, missing = data.get("decimal"), data.get("missing")
    texts = isinstance(missing, (list, tuple)) and all(isinstance(marker, str) for marker in missing)
    return decimal if decimal in (".", ",") else None, tuple(missing) if texts else ()


def images_below(folder: Path) -> list[Path]:
    """Every image file of a folder, at any depth, in order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _images(path: Path) -> Input:
    found = images_below(path)
    if path.is_file():
        found, path = [path], path.parent
    if not found:
        raise DataError(f"{path}: no images in this folder (looked for {', '.join(sorted(SUFFIXES))})")
    items = (Item({"file": image.relative_to(path).as_posix()}, image, "") for image in found)
    return Input(["file"], items, lambda: len(found))


def _array(path: Path) -> Input:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: not a readable .npy file: {error}") from None
    if array.ndim == 0:
        raise DataError(f"{path}: holds a single number; the first dimension must be rows")
    items = (Item({"row": i}, np.array(array[i]), f"{path}, row {i}") for i in range(len(array)))
    return Input(["row"], items, lambda: len(array))


def _csv(path: Path, signature: Signature, default_decimal: str | None, missing: tuple[str, ...]) -> Input:
    dialect = sniff(path, default_decimal=default_decimal)
    names, records = csv.rows(path, dialect)
    _check_columns(path, names, signature)
    row_of = _row_maker(path, signature)
    numeric = [column.name for column in signature.inputs if column.kind == "numeric" and column.name in names]
    if signature.inputs[0].kind == "array":
        numeric = names
    markers = frozenset(missing)
    texts = {column.name for column in signature.inputs if column.kind == "text"}

    def items() -> Iterator[Item]:
        for line, record in records:
            cells: dict[str, Any] = dict(zip(names, record))
            read: dict[str, Any] = {name: cell if name in texts else cell.strip() for name, cell in cells.items()}
            if markers:  # compared before numbers are read, as in training: "-999,00" is a text of the file
                read = {
                    name: None if name not in texts and values.is_missing(cell, markers) else cell
                    for name, cell in read.items()
                }
            for name in numeric:
                if read[name] is None:
                    continue
                number = values.number(read[name], dialect.decimal)
                read[name] = read[name] if number is None else number
            yield Item(cells, row_of(read), f"{path}:{line}")

    return Input(names, items(), lambda: max(0, _lines(path) - 1))


def _parquet(path: Path, signature: Signature) -> Input:
    names, records = parquet.rows(path)
    _check_columns(path, names, signature)
    row_of = _row_maker(path, signature)

    def items() -> Iterator[Item]:
        for number, record in enumerate(records, start=1):
            cells = dict(zip(names, record))
            yield Item(cells, row_of(cells), f"{path}, row {number}")

    def count() -> int:
        import pyarrow.parquet

        return int(pyarrow.parquet.read_metadata(path).num_rows)

    return Input(names, items(), count)


def _json_lines(path: Path, signature: Signature) -> Input:
    stream = jsonl.objects(path)
    head = list(islice(stream, _PEEK))
    if not head:
        raise DataError(f"{path}: the file is empty")
    names = list(dict.fromkeys(key for _, cells in head for key in cells))
    _check_columns(path, names, signature)
    row_of = _row_maker(path, signature)
    items = (Item(cells, row_of(cells), f"{path}:{line}") for line, cells in chain(head, stream))
    return Input(names, items, lambda: _lines(path))


def _text_lines(path: Path, name: str) -> Input:
    """One text a line; blank lines are left out."""

    def items() -> Iterator[Item]:
        try:
            with path.open(encoding="utf-8-sig") as file:
                for line, text in enumerate(file, start=1):
                    text = text.rstrip("\r\n")
                    if text.strip():
                        yield Item({name: text}, {name: text}, f"{path}:{line}")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 text ({error.reason}); save it as UTF-8") from None

    return Input([name], items(), lambda: _lines(path))


def _check_columns(path: Path, names: list[str], signature: Signature) -> None:
    """A column that no row may be without is looked for before the first row is computed."""
    first = signature.inputs[0]
    if first.kind == "array":
        return
    if first.kind == "image" and first.name not in names:
        raise DataError(f"{path}: no column '{first.name}' with the path of each image; columns: {', '.join(names)}")
    known = [column.name for column in signature.inputs]
    missing = [column.name for column in signature.inputs if column.required and column.name not in names]
    if missing:
        others = [name for name in names if name not in known]
        hint = did_you_mean(missing[0], others)
        raise DataError(f"{path}: no column '{missing[0]}', which the model needs{hint}; columns: {', '.join(names)}")
    if not set(known) & set(names):
        raise DataError(f"{path}: none of the model's columns is here ({', '.join(known)}); found: {', '.join(names)}")


def _row_maker(path: Path, signature: Signature) -> Callable[[dict[str, Any]], Any]:
    """Turns the cells of one row into what the model takes; other columns of the file are left out."""
    first = signature.inputs[0]
    if first.kind == "image":
        return lambda cells: _image_of(cells.get(first.name), path.parent)
    if first.kind == "array":
        return lambda cells: cells[first.name] if first.name in cells else list(cells.values())
    wanted = [column.name for column in signature.inputs]
    return lambda cells: {name: cells[name] for name in wanted if name in cells}


def _image_of(cell: Any, folder: Path) -> Any:
    """A path from the table's folder on; a blank, or pixels, as they are."""
    return folder / cell if isinstance(cell, str) and cell else cell


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b""))
