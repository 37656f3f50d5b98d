"""Parquet through the same path as CSV."""

from __future__ import annotations

import datetime
import decimal
import sys
from pathlib import Path

import pytest

from lamplighter.core.errors import DataError, MissingExtraError
from lamplighter.data.tables import parquet, values
from lamplighter.data.tables.reading import iter_rows, read_table

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def _write(folder: Path, columns: dict[str, object]) -> Path:
    path = folder / "data.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=3)
    return path


def test_values_become_plain_python(tmp_path: Path) -> None:
    day = datetime.date(2024, 2, 29)
    path = _write(
        tmp_path,
        {
            "number": [1.5, float("nan"), None, 4.0],
            "price": [decimal.Decimal("1.10"), None, decimal.Decimal("2.20"), decimal.Decimal("3.30")],
            "flag": [True, False, None, True],
            "day": [day, None, day, day],
            "word": pa.array(["a", "b", "a", None]).dictionary_encode(),
            "marked": ["x", " NA ", "", "y "],
        },
    )
    table = read_table(path)
    assert table.columns == {
        "number": [1.5, None, None, 4.0],
        "price": [1.1, None, 2.2, 3.3],
        "flag": [True, False, None, True],
        "day": [day, None, day, day],
        "word": ["a", "b", "a", None],
        "marked": ["x", None, None, "y"],
    }
    assert table.where(2) == f"{path}, row 3"
    assert list(iter_rows(path)) == [dict(zip(table.columns, row)) for row in zip(*table.columns.values())]


def test_nanoseconds_and_time_zones(tmp_path: Path) -> None:
    nanoseconds = pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns"))
    zoned = pa.array([1_700_000_000, None], pa.timestamp("s", tz="America/New_York"))
    columns = read_table(_write(tmp_path, {"plain": nanoseconds, "zoned": zoned})).columns
    assert columns["plain"] == [datetime.datetime(2023, 11, 14, 22, 13, 20, 123456), None]
    assert values.date(columns["zoned"][0]) == 1_700_000_000 * 10**6


def test_a_date_beyond_pythons_calendar_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, {"a": pa.array([10**12], pa.timestamp("s"))})
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_table(path)


def test_a_parquet_file_is_known_by_content(tmp_path: Path) -> None:
    path = _write(tmp_path, {"a": [1]}).rename(tmp_path / "export.dat")
    assert read_table(path).columns == {"a": [1]}


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    path.write_bytes(b"not parquet at all")
    with pytest.raises(DataError, match=r"data\.parquet: not a readable Parquet file"):
        read_table(path)
    whole = _write(tmp_path, {"a": list(range(1000))}).read_bytes()
    path.write_bytes(whole[:20] + b"\xff" * 200 + whole[220:])
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_table(path)


def test_duplicate_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(DataError, match="two columns have the name 'a'"):
        read_table(path)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path, {"a": [1]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"lamplighter\[data\]"):
        parquet.rows(path)
