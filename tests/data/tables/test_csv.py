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


@pytest.mark.parametrize("numbers", [(0, 1, 2), (17, 3, 200), (5, 6, 9)])
@pytest.mark.parametrize("head", [b",a", b'"",a', b" ,a"])
def test_a_nameless_row_number_is_left_out(tmp_path: Path, head: bytes, numbers: tuple[int, ...]) -> None:
    lines = [head, *(b"%d,%d" % (number, 7) for number in numbers)]
    assert _read(tmp_path, b"\n".join(lines)) == (["a"], [(2, ["7"]), (3, ["7"]), (4, ["7"])])


@pytest.mark.parametrize("cells", [("1", "1", "2"), ("0", "1.5", "2"), ("a", "b", "c"), ("0", "", "2")])
def test_another_nameless_column_is_refused(tmp_path: Path, cells: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"data\.csv:1: column 1 has no name"):
        _read(tmp_path, "\n".join([",a", *(f"{cell},7" for cell in cells)]).encode())


def test_row_numbers_shift_no_message(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.csv:1: column 3 has no name"):
        _read(tmp_path, b",a,,c\n0,1,2,3\n")
    with pytest.raises(DataError, match=r"data\.csv:3: broken row: 4 fields where the header has 3"):
        _read(tmp_path, b",a,b\n0,1,2\n1,2,3,4\n")
    late = b"\n".join([b",a", *(b"%d,1" % number for number in range(1500)), b"x,1"])
    with pytest.raises(DataError, match=r"data\.csv:1502: the first column has no name .* holds 'x'"):
        _read(tmp_path, late)


def test_a_header_of_one_field_doubts_the_delimiter(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="broken row: 2 fields where the header has 1; is the delimiter ',' right"):
        _read(tmp_path, b"a;b\n1,5;2\n")
