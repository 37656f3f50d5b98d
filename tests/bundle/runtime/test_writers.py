"""Rows come out as they went in, in every format."""

from __future__ import annotations

import csv
import datetime
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lamplighter.bundle.runtime.writers import format_of, open_writer
from lamplighter.core.errors import DataError

ROWS: list[dict[str, object]] = [
    {"a": 'say "hi", ok', "b": 1, "label": "x"},
    {"a": None, "b": 2, "label": None},
    {"a": "zwei\nZeilen", "label": "ü"},
]


def write(format: str, path: Path, names: list[str], *chunks: list[dict[str, object]]) -> Path:
    with open_writer(format, path, names) as writer:
        for chunk in chunks:
            writer(chunk)
    return path


def test_csv(tmp_path: Path) -> None:
    path = write("csv", tmp_path / "out.csv", ["a", "b", "label"], ROWS[:2], ROWS[2:])
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["a", "b", "label"], ['say "hi", ok', "1", "x"], ["", "2", ""], ["zwei\nZeilen", "", "ü"],
        ]  # fmt: skip


def test_json_lines(tmp_path: Path) -> None:
    path = write("jsonl", tmp_path / "out.jsonl", [], ROWS)
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == ROWS


def test_parquet(tmp_path: Path) -> None:
    path = write("parquet", tmp_path / "out.parquet", ["a", "b", "label"], ROWS[:2], ROWS[2:])
    table = pq.read_table(path)
    assert table.to_pylist() == [{"a": None, "b": None, "label": None} | row for row in ROWS]
    assert str(table.schema.field("b").type) == "int64"


def test_parquet_in_several_parts(tmp_path: Path) -> None:
    chunk: list[dict[str, object]] = [{"a": None, "b": i} for i in range(10_000)]
    path = write("parquet", tmp_path / "out.parquet", ["a", "b"], chunk, chunk, [{"a": "late", "b": 7}])
    assert pq.ParquetFile(path).metadata.num_row_groups == 2
    assert pq.read_table(path).to_pylist()[-1] == {"a": "late", "b": 7}
    with pytest.raises(DataError, match="column 'b' holds values of several types"):
        write("parquet", tmp_path / "odd.parquet", ["a", "b"], chunk, chunk, [{"a": "x", "b": "seven"}])


def test_no_rows(tmp_path: Path) -> None:
    assert write("csv", tmp_path / "a.csv", ["a", "label"]).read_text() == "a,label\n"
    assert write("jsonl", tmp_path / "a.jsonl", ["a"]).read_text() == ""
    assert pq.read_table(write("parquet", tmp_path / "a.parquet", ["a", "label"])).column_names == ["a", "label"]


def test_values_that_are_no_text(tmp_path: Path) -> None:
    day = datetime.date(2024, 1, 31)
    row: dict[str, object] = {"day": day, "more": {"x": [1, None]}}
    written = write("csv", tmp_path / "a.csv", ["day", "more"], [row]).read_text()
    assert written == 'day,more\n2024-01-31,"{""x"": [1, null]}"\n'
    assert (
        write("jsonl", tmp_path / "a.jsonl", [], [row]).read_text()
        == '{"day": "2024-01-31", "more": {"x": [1, null]}}\n'
    )


def test_a_column_that_came_late(tmp_path: Path) -> None:
    for format in ("csv", "parquet"):
        with pytest.raises(DataError, match="the field 'b' is not in the first rows"):
            write(format, tmp_path / "out", ["a"], [{"a": 1, "b": 2}])


def test_endings() -> None:
    assert [format_of(Path(name)) for name in ("a.csv", "b.JSONL", "c.pq")] == ["csv", "jsonl", "parquet"]
    with pytest.raises(DataError, match=r"a\.xlsx: name the output \.csv, \.jsonl or \.parquet"):
        format_of(Path("a.xlsx"))
