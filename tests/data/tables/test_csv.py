"""Rows and the lines they stand on; broken rows are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.tables import csv
from lamplighter.data.tables.dialect import Dialect

PLAIN = Dialect(",", "utf-8", ".")


def _read(folder: Path, content: bytes, dialect: Dialect = PLAIN) -> tuple[list[str], list[csv.Row]]:
    path = folder / "data.csv"
    path.write_bytes(content)
    names, rows = csv.rows(path, dialect)
    return names, list(rows)


def test_lines_count_as_an_editor_counts_them(tmp_path: Path) -> None:
    content = b'a,b\r\n1,"two\r\nlines"\r\n\r\n2,"say ""hi"", then"\r\n3, "spaced, quoted"\r\n'
    names, rows = _read(tmp_path, content)
    assert names == ["a", "b"]
    assert rows == [
        (2, ["1", "two\r\nlines"]),
        (5, ["2", 'say "hi", then']),
        (6, ["3", "spaced, quoted"]),
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_line_ends_of_every_system(tmp_path: Path, end: bytes) -> None:
    _, rows = _read(tmp_path, end.join([b"a,b", b"1,2", b"3,4"]))
    assert rows == [(2, ["1", "2"]), (3, ["3", "4"])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n1,2,3\n", "data.csv:3: broken row: 3 fields where the header has 2"),
        (b'a,b\n1,"x\ny"\n1\n', "data.csv:4: broken row: 1 fields where the header has 2"),
        (b'a,b\n1,2\n3,"open\n5,6\n', "data.csv:3: broken row: a quote opened here is never closed"),
        (b'a,b\n1,2\n3,"x"y\n5,6\n', "data.csv:3: broken row: text after a closing quote"),
        (b'a,b\n1,2\n3,"' + b"x" * 140_000 + b'"\n', "data.csv:3: broken row: a field longer than 131,072"),
        (b"a,b\n1,2\n\xff,4\n", "data.csv:3: not utf-8 text"),
        (b"a,,c\n1,2,3\n", "data.csv:1: column 2 has no name"),
        (b"a,b,a\n1,2,3\n", "data.csv:1: two columns have the name 'a'"),
        (b"", "data.csv: the file is empty"),
    ],
)
def test_broken_files_name_the_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        _read(tmp_path, content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_undecodable_utf16_is_refused_without_a_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not utf-16 text"):
        _read(tmp_path, "a,b\n1,2\n".encode("utf-16") + b"\x00", Dialect(",", "utf-16", "."))
