"""Streams the rows of a CSV file, each with the number of the line it starts on."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from lamplighter.core.errors import DataError
from lamplighter.data.tables.dialect import Dialect

Row = tuple[int, list[str]]
_PROBED = 1000
_WHOLE = re.compile(r"\s*[0-9]+\s*")


def rows(path: Path, dialect: Dialect) -> tuple[list[str], Iterator[Row]]:
    """Column names, and an iterator over ``(line, fields)``; blank lines are skipped, as is a nameless row number.

    Args:
        path: the file.
        dialect: how it is written, see `lamplighter.data.tables.dialect.sniff`.

    Raises:
        DataError: no, empty or duplicate column names; while iterating: a row with another number of fields than the
            header, a quote that is never closed, bytes that are not of the encoding, a text among nameless row numbers.
            Names file and line.
    """
    stream = _records(path, dialect)
    first = next(stream, None)
    if first is None:
        raise DataError(f"{path}: the file is empty")
    numbered = int(numbers_rows(path, dialect))
    names = check_names(first[1][numbered:], f"{path}:{first[0]}", before=numbered)
    checked = _checked(path, stream, len(first[1]), dialect)
    return names, _without_number(path, checked) if numbered else checked


def numbers_rows(path: Path, dialect: Dialect) -> bool:
    """Whether the first column has no name and numbers the rows, as a saved pandas index does.

    It does when its first 1,000 cells are whole numbers, none of them twice; they may be in any order and have gaps,
    as after a selection of rows.
    """
    stream = _records(path, dialect)
    header = next(stream, (1, []))[1]
    if len(header) < 2 or header[0].strip():
        return False
    cells = [record[0] for _, record in itertools.islice(stream, _PROBED)]
    return all(map(_WHOLE.fullmatch, cells)) and len({int(cell) for cell in cells}) == len(cells)


def check_names(names: list[str], where: str, before: int = 0) -> list[str]:
    """Column names without surrounding space.

    Args:
        names: of the header.
        where: file and line, for the message.
        before: columns to the left that are left out.

    Raises:
        DataError: an empty or a duplicate name.
    """
    names = [name.strip() for name in names]
    empty = [position + 1 for position, name in enumerate(names) if not name]
    if empty:
        raise DataError(f"{where}: column {empty[0] + before} has no name; name it in the header, or leave it out")
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


def _checked(path: Path, stream: Iterator[Row], expected: int, dialect: Dialect) -> Iterator[Row]:
    for line, record in stream:
        if len(record) != expected:
            hint = f"; is the delimiter {dialect.delimiter!r} right?" if expected == 1 else ""
            raise DataError(f"{path}:{line}: broken row: {len(record)} fields where the header has {expected}{hint}")
        yield line, record


def _without_number(path: Path, stream: Iterator[Row]) -> Iterator[Row]:
    for line, (number, *record) in stream:
        if not _WHOLE.fullmatch(number):
            raise DataError(
                f"{path}:{line}: the first column has no name and numbers the rows, but here it holds "
                f"'{number.strip()[:40]}'; name the column in the header, or leave it out"
            )
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
