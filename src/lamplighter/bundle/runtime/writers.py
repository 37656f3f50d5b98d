"""Answers, chunk by chunk, into CSV, JSON lines or Parquet; memory does not grow with the file."""

from __future__ import annotations

import csv
import datetime
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from lamplighter.core import extras
from lamplighter.core.errors import DataError

SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
_ROW_GROUP = 16384

Rows = Sequence[dict[str, Any]]


class Writer(Protocol):
    """Takes rows as dicts; a row may lack columns but not have others."""

    def __call__(self, rows: Rows) -> None: ...


def format_of(out: Path) -> str:
    """``csv``, ``jsonl`` or ``parquet``, by the ending of the file's name.

    Raises:
        DataError: another ending.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise DataError(f"{out}: name the output .csv, .jsonl or .parquet")
    return SUFFIXES[out.suffix.lower()]


@contextmanager
def open_writer(format: str, path: Path, names: list[str]) -> Iterator[Writer]:
    """A writer for one file.

    Args:
        format: see `format_of`.
        path: the file.
        names: columns, in order.

    Raises:
        DataError: a row does not fit the columns or, in Parquet, their types.
        MissingExtraError: Parquet without pyarrow.
    """
    if format == "parquet":
        with _parquet(path, names) as writer:
            yield writer
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        yield _csv(file, names) if format == "csv" else _json_lines(file)


def _csv(file: Any, names: list[str]) -> Writer:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    known = set(names)

    def write(rows: Rows) -> None:
        for row in rows:
            _refuse_unknown(row, known)
        writer.writerows([_text(row.get(name)) for name in names] for row in rows)

    return write


def _json_lines(file: Any) -> Writer:
    def write(rows: Rows) -> None:
        file.writelines(json.dumps(row, ensure_ascii=False, default=_plain) + "\n" for row in rows)

    return write


@contextmanager
def _parquet(path: Path, names: list[str]) -> Iterator[Writer]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise extras.missing_extra("pyarrow", "data") from None
    known = set(names)
    waiting: list[dict[str, Any]] = []
    schema: Any = None
    sink: Any = None

    def flush() -> None:
        nonlocal schema, sink
        arrays = []
        for name in names:
            column = [row.get(name) for row in waiting]
            try:
                array = pa.array(column, None if schema is None else schema.field(name).type)
            except (pa.ArrowException, OverflowError) as error:
                raise DataError(
                    f"column '{name}' holds values of several types ({error}); write .jsonl or .csv instead"
                ) from None
            # A column without a single value so far may still get some: text takes them all.
            arrays.append(array.cast(pa.string()) if pa.types.is_null(array.type) else array)
        table = pa.table(dict(zip(names, arrays)))
        if sink is None:
            schema = table.schema
            sink = pq.ParquetWriter(path, schema)
        sink.write_table(table)
        waiting.clear()

    def write(rows: Rows) -> None:
        for row in rows:
            _refuse_unknown(row, known)
        waiting.extend(rows)
        if len(waiting) >= _ROW_GROUP:
            flush()

    try:
        yield write
        if waiting or sink is None:
            flush()
    finally:
        if sink is not None:
            sink.close()


def _refuse_unknown(row: dict[str, Any], known: set[str]) -> None:
    if not row.keys() <= known:
        name = next(name for name in row if name not in known)
        raise DataError(f"the field '{name}' is not in the first rows, so there is no column for it; write .jsonl")


def _text(cell: Any) -> Any:
    """What CSV shows: nothing for a blank, JSON for lists and objects."""
    if isinstance(cell, dict | list):
        return json.dumps(cell, ensure_ascii=False, default=_plain)
    return cell.isoformat() if isinstance(cell, datetime.date) else cell


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)
