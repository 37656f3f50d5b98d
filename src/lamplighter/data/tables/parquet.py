"""Streams the rows of a Parquet file as plain Python values (needs pyarrow, extra ``data``)."""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lamplighter.core import extras
from lamplighter.core.errors import DataError
from lamplighter.data.tables.csv import check_names

BATCH_ROWS = 4096


def is_parquet(path: Path) -> bool:
    """Whether the file starts as Parquet files do."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def rows(path: Path) -> tuple[list[str], Iterator[list[Any]]]:
    """Column names, and an iterator over the values of each row; NaN and null become None.

    Raises:
        MissingExtraError: pyarrow is not installed.
        DataError: the file is damaged, or two columns have one name.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise extras.missing_extra("pyarrow", "data") from None
    try:
        names = check_names(list(pyarrow.parquet.read_schema(path).names), str(path))
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {_first_line(error)}") from None
    return names, _stream(path, pyarrow)


def _stream(path: Path, pyarrow: Any) -> Iterator[list[Any]]:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                columns = [
                    [_plain(value) for value in _moments(column, pyarrow).to_pylist()] for column in batch.columns
                ]
                yield from map(list, zip(*columns))
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {_first_line(error)}") from None


def _moments(column: Any, pyarrow: Any) -> Any:
    """Timestamps in microseconds of UTC: Python has no nanoseconds, and names of time zones need a database."""
    if not pyarrow.types.is_timestamp(column.type):
        return column
    return column.cast(pyarrow.timestamp("us", tz="UTC" if column.type.tz else None), safe=False)


def _plain(value: Any) -> Any:
    """NaN as None and decimals as floats; lists, bytes and the like stay and are told apart by their type."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, decimal.Decimal):
        return float(value)
    return value


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
