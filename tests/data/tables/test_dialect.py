"""Encoding, delimiter and decimal sign, told from files as people write them."""

from __future__ import annotations

import csv
import io
import itertools
import random
from pathlib import Path

import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.tables.dialect import SAMPLE_BYTES, Dialect, sniff


def _write(folder: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / "data.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


@pytest.mark.parametrize(("delimiter", "decimal"), list(itertools.product(",;\t|", ".,")))
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_every_combination(tmp_path: Path, delimiter: str, decimal: str, quoting: int) -> None:
    rng = random.Random(1)
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(["name", "price, net", "note"])
    for row in range(50):
        price = f"{rng.uniform(0, 5000):.2f}".replace(".", decimal)
        writer.writerow(
            [f"thing {row}", price, rng.choice(["a; b", "x, y | z", 'say "hi"', "two\nlines", "tab\there"])]
        )
    found = sniff(_write(tmp_path, buffer.getvalue()))
    assert found == Dialect(delimiter, "utf-8", decimal)


@pytest.mark.parametrize(
    ("rows", "decimal"),
    [
        (["a;b", "x;1.234,56", "y;999,1"], ","),
        (["a;b", "x;1,234", "y;2,345"], ","),  # undecided, but semicolons stand where the comma is taken
        (["a\tb", "x\t1,234", "y\t2,345"], "."),  # undecided: thousands
        (["a;b", "x;1.234", "y;2.345"], "."),
        (["a;b", "x;0,123", "y;2,345"], ","),  # no thousands after a zero
        (["a;b;c", "x;1.234;1,5", "y;2.345;2,5"], ","),  # the third column decides for the second
        (["a;b", "x;1e-3", "y;2.5e4"], "."),
        (["a;b", "x;12", "y;13"], "."),
        (["a;b", "x;31.12.2024", "y;01.02.2024"], "."),
    ],
)
def test_decimal_sign(tmp_path: Path, rows: list[str], decimal: str) -> None:
    assert sniff(_write(tmp_path, "\n".join(rows))).decimal == decimal


@pytest.mark.parametrize(
    ("rows", "default", "decimal"),
    [
        (["a;b", "x;1.234", "y;2.345"], ",", ","),
        (["a;b", "x;1,234", "y;2,345"], ".", "."),
        (["a", "1.234"], ",", ","),
        (["a\tb", "x\t1,234"], ",", ","),
        (["a,b", 'x,"1,234"'], ",", ","),  # quoted where it must be: a table with commas between and within
        (["a,b", "x,1.234"], ",", "."),  # commas between the fields, so hardly within the numbers
        (["a;b", "x;1.5", "y;2.345"], ",", "."),  # proven by the file
        (["a;b", "x;1,5", "y;2,345"], ".", ","),
    ],
)
def test_the_default_decides_where_the_file_does_not(
    tmp_path: Path, rows: list[str], default: str, decimal: str
) -> None:
    assert sniff(_write(tmp_path, "\n".join(rows)), default_decimal=default).decimal == decimal


def test_what_the_recipe_says_is_taken(tmp_path: Path) -> None:
    path = _write(tmp_path, "a,b;c\n1,5;2\n")
    assert sniff(path, delimiter=",", encoding="cp1252", decimal=",") == Dialect(",", "cp1252", ",")


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("größe,b\n1,2\n".encode(), "utf-8"),
        ("\ufeffgröße,b\n1,2\n".encode(), "utf-8-sig"),
        ("größe,b\n1,2\n".encode("utf-16"), "utf-16"),
        ("größe,b\n1,2\n".encode("cp1252"), "cp1252"),
        (b"gr\x81\xf6e,b\n1,2\n", "latin-1"),  # 0x81 is no Windows-1252
        (b"a,b\n1,vis-\xe0", "cp1252"),  # the start of a UTF-8 character that never comes
    ],
)
def test_encoding(tmp_path: Path, content: bytes, encoding: str) -> None:
    assert sniff(_write(tmp_path, content)).encoding == encoding


def test_encoding_is_checked_to_the_last_byte(tmp_path: Path) -> None:
    rows = b"1,2\n" * (SAMPLE_BYTES // 4 + 10)
    assert sniff(_write(tmp_path, b"a,b\n" + rows)).encoding == "utf-8"
    assert sniff(_write(tmp_path, b"a,b\n" + rows + b"\xe9,3\n")).encoding == "cp1252"


def test_a_character_cut_by_a_block_is_still_utf8(tmp_path: Path) -> None:
    content = ("a,b\n" + "x" * (SAMPLE_BYTES - 5) + "é,2\n").encode()
    assert content[SAMPLE_BYTES - 1 : SAMPLE_BYTES + 1] == "é".encode()
    assert sniff(_write(tmp_path, content)).encoding == "utf-8"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04rest", "Excel workbook"),
        (b"\x1f\x8b\x08rest", "gzip"),
        ("a,b\n1,2\n".encode("utf-16-le"), "utf-16-le"),
        (b"\n \n", "empty"),
        (b"", "empty"),
    ],
)
def test_not_a_csv_file(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        sniff(_write(tmp_path, content))


def test_unknown_encoding(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'utf-9' is unknown"):
        sniff(_write(tmp_path, "a,b\n1,2\n"), encoding="utf-9")
    with pytest.raises(DataError, match="'zlib' is unknown"):
        sniff(_write(tmp_path, "a,b\n1,2\n"), encoding="zlib")


def test_a_file_without_header_is_refused(tmp_path: Path) -> None:
    rows = "5.1,3.5,setosa\n4.9,3.0,setosa\n6.3,2.9,virginica\n"
    with pytest.raises(DataError, match=r"data\.csv:1: the first line looks like data \(5.1, 3.5, setosa\)"):
        sniff(_write(tmp_path, rows))
    assert sniff(_write(tmp_path, "a,b,species\n" + rows)).delimiter == ","


def test_years_as_column_names_are_a_header(tmp_path: Path) -> None:
    assert sniff(_write(tmp_path, "country,2019,2020\nfr,1.5,2\nde,3,4\n")).delimiter == ","


def test_some_broken_rows_do_not_change_the_delimiter(tmp_path: Path) -> None:
    rows = ["a;b;c", *["1,5;2,5;x"] * 20, "1,5;2,5", "1;2;3;4"]
    assert sniff(_write(tmp_path, "\n".join(rows))) == Dialect(";", "utf-8", ",")
