"""Whole tables and streams of rows."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.tables.reading import iter_rows, join, read_table


def _write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "data.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_a_european_export(tmp_path: Path) -> None:
    path = _write(tmp_path, 'Straße;Preis;Datum\r\n"Am Ring, 3";1.234,56;31.12.2024\r\nWeg;NA;?\r\n', "cp1252")
    table = read_table(path)
    assert table.columns == {
        "Straße": ["Am Ring, 3", "Weg"],
        "Preis": ["1.234,56", None],
        "Datum": ["31.12.2024", None],
    }
    assert table.where(1) == f"{path}:3"
    rows = list(iter_rows(path))
    assert rows[0] == {"Straße": "Am Ring, 3", "Preis": 1234.56, "Datum": "31.12.2024"}


def test_with_kinds_only_numeric_columns_become_numbers(tmp_path: Path) -> None:
    path = _write(tmp_path, "code;price\n1,5;1,5\n2,5;\n")
    rows = list(iter_rows(path, {"code": "category", "price": "numeric"}))
    assert rows == [{"code": "1,5", "price": 1.5}, {"code": "2,5", "price": None}]


def test_with_kinds_a_text_among_numbers_is_named(tmp_path: Path) -> None:
    path = _write(tmp_path, "a,b\n1,x\nabc,y\n")
    rows = iter_rows(path, {"a": "numeric", "b": "category"})
    assert next(rows) == {"a": 1.0, "b": "x"}
    with pytest.raises(DataError, match=r"data\.csv:3: column 'a' is numeric in this model but holds 'abc'"):
        next(rows)


def test_own_missing_markers(tmp_path: Path) -> None:
    path = _write(tmp_path, "a,b\n-999,x\n3,unknown\n")
    assert read_table(path, missing=("-999", "unknown")).columns == {"a": [None, "3"], "b": ["x", None]}


@pytest.mark.parametrize(
    ("text", "words"),
    [("a,b\n", "column names but no rows"), ("", "the file is empty"), ("a,b\n1\n", ":2: broken row")],
)
def test_nothing_to_read(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_table(_write(tmp_path, text))


def test_no_file_and_no_column(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="this is a folder"):
        read_table(tmp_path)
    with pytest.raises(DataError, match=r"no column 'prise' \(did you mean 'price'\?\); columns: price, size"):
        read_table(_write(tmp_path, "price,size\n1,2\n")).column("prise")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = _write(tmp_path, "a,b\n1,2\n")
    path.chmod(0)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        read_table(path)


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
def test_streaming_memory_does_not_grow_with_the_file(tmp_path: Path, name: str) -> None:
    def peak(rows: int) -> int:
        path = tmp_path / name
        text = "a,b,c\n" + "".join(f"{i},{i * 0.5},{i:0200}\n" for i in range(rows))
        if name.endswith("csv"):
            path.write_text(text)
        else:
            pa = pytest.importorskip("pyarrow")
            pq = pytest.importorskip("pyarrow.parquet")
            columns = {"a": range(rows), "c": [f"{i:0200}" for i in range(rows)]}
            pq.write_table(pa.table({k: list(v) for k, v in columns.items()}), path, row_group_size=1000)
        tracemalloc.start()
        count = sum(1 for _ in iter_rows(path))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count == rows
        return most

    peak(100)  # imports
    assert peak(20_000) < 1.5 * peak(10_000)


def test_tables_are_read_without_torch(tmp_path: Path) -> None:
    path = _write(tmp_path, "a,b\n1,x\n")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from lamplighter.data.tables.reading import iter_rows\n"
        "from lamplighter.data.tables import kinds, targets, encodings\n"
        "from lamplighter.data.preprocessing.table import EncodeTable\n"
        f"print(list(iter_rows({str(path)!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[{'a': '1', 'b': 'x'}]"


def test_a_saved_pandas_index_is_no_column(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(",x,y\n4,1.5,a\n9,2.5,b\n")
    assert read_table(path).columns == {"x": ["1.5", "2.5"], "y": ["a", "b"]}
    assert list(iter_rows(path, {"x": "numeric"})) == [{"x": 1.5, "y": "a"}, {"x": 2.5, "y": "b"}]


def test_json_lines_are_a_table(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1.5, "b": " x "}\n\n{"b": "NA", "c": [1]}\n', encoding="utf-8")
    file = read_table(path)
    assert file.columns == {"a": [1.5, None], "b": ["x", None], "c": [None, [1]]}
    assert file.where(1) == f"{path}:3" and file.dialect is None
    assert list(iter_rows(path)) == [{"a": 1.5, "b": "x", "c": None}, {"a": None, "b": None, "c": [1]}]


def test_texts_are_kept_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('text,label\n"  NA ",?\n-,b\n"  ",c\n')
    file = read_table(path, verbatim=("text",))
    assert file.columns == {"text": ["  NA ", "-", None], "label": [None, "b", "c"]}
    assert [row["text"] for row in iter_rows(path, verbatim=("text",))] == ["  NA ", "-", None]


def test_joined_tables_name_the_file_of_each_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y,more\n1,2,3\n4,5,6\n")
    (tmp_path / "b.jsonl").write_text('{"y": 8, "x": 7}\n')
    both = join([read_table(tmp_path / "a.csv"), read_table(tmp_path / "b.jsonl")])
    assert both.columns == {"x": ["1", "4", 7], "y": ["2", "5", 8]}
    assert [both.where(row) for row in range(3)] == [
        f"{tmp_path / 'a.csv'}:2",
        f"{tmp_path / 'a.csv'}:3",
        f"{tmp_path / 'b.jsonl'}:1",
    ]
    chosen = both.select([2, 1])
    assert chosen.where(0) == f"{tmp_path / 'b.jsonl'}:1" and chosen.columns["x"] == [7, "4"]
