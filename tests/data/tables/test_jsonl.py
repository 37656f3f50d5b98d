"""Files of JSON lines: fields of any line, broken lines named."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.tables import jsonl


def write(folder: Path, text: str) -> Path:
    path = folder / "rows.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def test_fields_that_some_rows_lack_are_none(tmp_path: Path) -> None:
    names, rows = jsonl.rows(write(tmp_path, '{"a": 1}\n\n{"b": "x", "a": [1, 2]}\n'))
    assert names == ["a", "b"]
    assert list(rows) == [(1, [1, None]), (3, [[1, 2], "x"])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": ', r"rows.jsonl:2: broken row: not JSON"),
        ('{"a": NaN}', r"rows.jsonl:1: broken row: not JSON \(NaN is not a JSON value; write null\)"),
        ("[1]", r"rows.jsonl:1: broken row: expected an object \{...\}, not list"),
        ("\n \n", "the file is empty"),
        ("[" * 100_000, r"rows.jsonl:1: broken row"),
    ],
)
def test_broken_lines_are_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        list(jsonl.rows(write(tmp_path, text))[1])


def test_the_name_tells() -> None:
    assert [jsonl.is_jsonl(Path(name)) for name in ("a.jsonl", "a.NDJSON", "a.json", "a.csv")] == [
        True,
        True,
        False,
        False,
    ]
