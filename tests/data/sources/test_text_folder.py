"""A folder of text files: one row a file, its sub-folder the class."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.sources._text_folder import read_folder, read_text


def test_rows_are_files(tmp_path: Path) -> None:
    for name, text in (("b/2.txt", "zwei"), ("a/1.txt", "eins\nnoch"), ("a/deep/3", " "), ("a/.hidden", "x")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / ".git").mkdir()
    found = read_folder(tmp_path, "text", "topic")
    assert found.columns == {"text": ["eins\nnoch", None, "zwei"], "topic": ["a", "a", "b"]}
    assert [found.where(row) for row in range(3)] == [
        str(tmp_path / name) for name in ("a/1.txt", "a/deep/3", "b/2.txt")
    ]
    assert found.select([2, 0]).where(0) == str(tmp_path / "b/2.txt")


def test_encodings(tmp_path: Path) -> None:
    path = tmp_path / "t"
    for content, encoding, wanted in (
        ("\ufeffcafé".encode(), None, "café"),
        (b"caf\xe9 \x96", None, "café –"),
        (b"\x81x", None, "\x81x"),
        ("да".encode("utf-16"), "utf-16", "да"),
    ):
        path.write_bytes(content)
        assert read_text(path, encoding) == wanted
    path.write_bytes(b"a\0b")
    with pytest.raises(DataError, match="not a text file"):
        read_text(path)
    path.write_bytes(b"\xff")
    with pytest.raises(DataError, match="not utf-8 text"):
        read_text(path, "utf-8")
    with pytest.raises(DataError, match="'klingon' is no encoding"):
        read_text(path, "klingon")


def test_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sub-folders"):
        read_folder(tmp_path, "text", "label")
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match=r"/a: no files"):
        read_folder(tmp_path, "text", "label")
