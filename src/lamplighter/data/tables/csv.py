"""Streams the rows of a CSV file, each with the number of the line it starts on."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from lamplighter.core.errors import DataError
from lamplighter.data.tables.dialect import Dialect

Row = tuple[int, list[str]]


def rows(path: Path, dialect: Dialect) -> tuple[list[str], Iterator[Row]]:
    """Column names, and an iterator over ``(line, fields)``; blank lines are skipped.

    Args:
        path: the file.
        dialect: how it is written, see `lamplighter.data.tables.dialect.sniff`.

    Raises:
        DataError: no, empty or duplicate column names; while iterating: a row with another number of fields than the
            header, a quote that is never closed, bytes that are not of the encoding. Names file and line.
    """
    stream = _records(path, dialect)
    first = next(stream, None)
    if first is None:
        raise DataError(f"{path}: the file is empty")
    names = check_names(first[1], f"{path}:{first[0]}")
    return names, _checked(path, stream, names)


def check_names(names: list[str], where: str) -> list[str]:
    """Column names without surrounding space.

    Raises:
        DataError: an empty or a duplicate name.
    """
    names = [name.strip() for name in names]
    empty = [position + 1 for position, name in enumerate(names) if not name]
    if empty:
        raise DataError(f"{where}: column {empty[0]} has no name; name it in the header, or leave it out")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{where}: two columns have the name '{twice[0]}'; rename one of them")
    return names


def _records(path: Path, dialect: Dialect) -> Iterator[Row]:
    with path.open(encoding=dialect.encoding, newline="") as file:
        reader = dialect.reader(file)
        line = 1
        try:
            for record in reader:
                if record:
                    yield line, record
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}:{line}: broken row: {_explain(str(error))}") from None
        except UnicodeDecodeError as error:
            bad = _undecodable_line(path, dialect.encoding)
            where = f"{path}:{bad}" if bad else str(path)
            raise DataError(
                f"{where}: not {dialect.encoding} text ({error.reason}); set another 'encoding', for instance cp1252"
            ) from None


def _checked(path: Path, stream: Iterator[Row], names: list[str]) -> Iterator[Row]:
    expected = len(names)
    for line, record in stream:
        if len(record) != expected:
            raise DataError(f"{path}:{line}: broken row: {len(record)} fields where the header has {expected}")
        yield line, record


def _explain(reason: str) -> str:
    if "end of data" in reason:
        return "a quote opened here is never closed"
    if "field limit" in reason:
        return f"a field longer than {csv.field_size_limit():,} characters; a quote is probably never closed"
    if "expected after" in reason:
        return "text after a closing quote; a quote inside a quoted field must be doubled"
    return reason


def _undecodable_line(path: Path, encoding: str) -> int | None:
    if encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
        return None  # line ends cannot be found in undecoded bytes
    with path.open("rb") as file:
        for line, raw in enumerate(file, start=1):
            try:
                raw.decode(encoding)
            except UnicodeDecodeError:
                return line
    return None
