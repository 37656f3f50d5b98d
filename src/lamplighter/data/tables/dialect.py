"""How a CSV file is written: its encoding, delimiter and decimal sign, told from the file itself."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamplighter.core.errors import DataError
from lamplighter.data.tables import values

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_BYTES = 1 << 20
SAMPLE_LINES = 10_000
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_BINARY = {b"PK\x03\x04": "a zip archive or an Excel workbook", b"\x1f\x8b": "a gzip file", b"\x89HDF": "an HDF5 file"}


@dataclass(frozen=True)
class Dialect:
    """How to read a CSV file.

    Attributes:
        delimiter: one character between fields.
        encoding: Python's name, for instance ``"utf-8"``.
        decimal: ``"."`` or ``","``.
    """

    delimiter: str
    encoding: str
    decimal: str

    def reader(self, lines: io.TextIOBase | Sequence[str], strict: bool = True) -> Any:
        """A standard CSV reader: quotes are ``"``, doubled inside; space after a delimiter is skipped."""
        return csv.reader(lines, delimiter=self.delimiter, skipinitialspace=self.delimiter != " ", strict=strict)


def sniff(
    path: Path,
    delimiter: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    default_decimal: str | None = None,
) -> Dialect:
    """Tell how a CSV file is written; what is given is taken as it is.

    The encoding is checked over the whole file: a byte order mark, else UTF-8, else Windows-1252, else Latin-1 (which
    reads anything). Delimiter and decimal sign are told from the first 10,000 lines, or the first
    megabyte.

    Args:
        path: the file.
        delimiter: one character; None: told from the file, as are the next two.
        encoding: Python's name.
        decimal: ``"."`` or ``","``.
        default_decimal: the sign where the file proves neither: that of the table a model was trained on, for instance.

    Raises:
        DataError: not a text file, an unknown encoding, or a first line that holds data instead of column names.
    """
    encoding = _known_encoding(path, encoding) if encoding else _sniff_encoding(path)
    lines, whole = _sample(path, encoding)
    if not any(line.strip() for line in lines):
        raise DataError(f"{path}: the file is empty")
    delimiter = delimiter or _sniff_delimiter(lines, whole)
    records = _records(lines, delimiter, whole)
    columns = [_column(records[1:], index) for index in range(len(records[0]))]
    decimal = decimal or _sniff_decimal(columns, delimiter, default_decimal)
    _refuse_missing_header(path, records[0], columns, decimal)
    return Dialect(delimiter, encoding, decimal)


def _known_encoding(path: Path, encoding: str) -> str:
    try:
        "".encode(encoding)
    except (LookupError, ValueError):
        raise DataError(f"{path}: encoding '{encoding}' is unknown; try utf-8, utf-16, cp1252 or latin-1") from None
    return encoding


def _sniff_encoding(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4)
        for magic, what in _BINARY.items():
            if head.startswith(magic):
                raise DataError(f"{path}: this is {what}, not a CSV file; unpack it or save it as CSV")
        for mark, name in _BOMS:
            if head.startswith(mark):
                return name
        file.seek(0)
        decoders = {name: codecs.getincrementaldecoder(name)() for name in ("utf-8", "cp1252")}
        for block in iter(lambda: file.read(SAMPLE_BYTES), b""):
            if b"\0" in block:
                raise DataError(
                    f"{path}: holds zero bytes, so it is no plain text; if it is UTF-16, set encoding: utf-16-le"
                )
            for name in list(decoders):
                if not _decodes(decoders[name], block):
                    del decoders[name]
        for name in list(decoders):
            if not _decodes(decoders[name], b"", final=True):
                del decoders[name]
    return next(iter(decoders), "latin-1")


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _sample(path: Path, encoding: str) -> tuple[list[str], bool]:
    """The first lines, and whether they are the whole file."""
    with path.open(encoding=encoding, newline="", errors="replace") as file:
        text = file.read(SAMPLE_BYTES)
        whole = not file.read(1)
    lines = io.StringIO(text, newline="").readlines()
    return lines[:SAMPLE_LINES], whole and len(lines) <= SAMPLE_LINES


def _records(lines: list[str], delimiter: str, whole: bool) -> list[list[str]]:
    """Fields of the sampled records, without blank lines; a last record that the sample may have cut is left out."""
    records: list[list[str]] = []
    try:
        for record in Dialect(delimiter, "", "").reader(lines, strict=False):
            if record:
                records.append(record)
    except csv.Error:  # the reader of the whole file names the line
        whole = True
    return records if whole or len(records) < 2 else records[:-1]


def _sniff_delimiter(lines: list[str], whole: bool) -> str:
    """The delimiter under which most records have as many fields as the first one, and more than one."""
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        records = _records(lines, delimiter, whole)
        fields = len(records[0]) if records else 0
        if fields < 2:
            continue
        score = (sum(len(record) == fields for record in records) / len(records), fields)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _column(records: list[list[str]], index: int) -> list[str]:
    cells = (record[index].strip() for record in records if index < len(record))
    return [cell for cell in cells if not values.is_missing(cell)]


def _sure(sign: str, other: str) -> re.Pattern[str]:
    digits = rf"(?:0?{sign}[0-9]+|[0-9]{{4,}}{sign}[0-9]+|[0-9]+{sign}(?:[0-9]{{1,2}}|[0-9]{{4,}}))"
    return re.compile(rf"[+-]?{digits}(?:[eE].*)?|.*{other}.*{sign}.*")


_SURE = {".": _sure(r"\.", ","), ",": _sure(",", r"\.")}
"""Numbers in which the sign cannot be a thousands sign: not exactly three digits after one to three digits."""


def _sniff_decimal(columns: list[list[str]], delimiter: str, default: str | None) -> str:
    """The decimal sign that more columns of numbers prove.

    Without any proof (``1,234`` may be either) the default decides. Without a default a semicolon between fields speaks
    for the comma, since programs write semicolons where the comma is taken. For the same reason a file with commas
    between its fields, and none within its numbers, does not take a comma by default.
    """
    proofs = {".": 0, ",": 0}
    doubtful = 0
    for column in columns:
        for sign in proofs:
            numeric = column and all(values.number(cell, sign) is not None for cell in column)
            if numeric and any(_SURE[sign].fullmatch(cell) for cell in column):
                proofs[sign] += 1
            elif numeric and sign == "," and any("," in cell for cell in column):
                doubtful += 1
    if proofs[","] == proofs["."]:
        separates = delimiter == "," and len(columns) > 1 and not doubtful
        if default and not (default == "," and separates):
            return default
        return "," if delimiter == ";" and doubtful and not proofs["."] else "."
    return "," if proofs[","] > proofs["."] else "."


def _refuse_missing_header(path: Path, first: list[str], columns: list[list[str]], decimal: str) -> None:
    """A first line whose every field looks like the values below it is data."""

    def like_data(name: str, column: list[str]) -> bool:
        name = name.strip()
        below = list(itertools.islice(column, 1000))
        if values.number(name, decimal) is not None:
            return bool(below) and all(values.number(cell, decimal) is not None for cell in below)
        if values.date(name, "dmy") is not None or values.date(name, "mdy") is not None:
            return bool(below)
        return name in column

    if first and all(like_data(name, column) for name, column in zip(first, columns)):
        shown = ", ".join(name.strip() for name in first[:5])
        raise DataError(f"{path}:1: the first line looks like data ({shown}), not like column names; add a header line")
