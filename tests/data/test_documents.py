"""Documents, blocks of them, and splits that share no passage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.documents import divide, passages, read_documents, units_of

_PARAGRAPH = "It was the year of the whale, and nobody knew.\nThe sea was calm.\n\n"


def test_files_come_in_the_order_of_their_paths_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    for name, text in (("b.txt", "two"), ("a.txt", "one"), ("c.txt", " \n"), ("d.md", "no")):
        (tmp_path / name).write_text(text)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "e.txt").write_text("three")
    paths, texts = read_documents(str(tmp_path), "*.txt", "utf-8")
    assert texts == ["one", "two", "three"] and [path.name for path in paths] == ["a.txt", "b.txt", "e.txt"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        read_documents(str(tmp_path / "none"), "*", "utf-8")
    with pytest.raises(DataError, match=r"no file '\*\.txt'"):
        read_documents(str(tmp_path), "*.txt", "utf-8")
    (tmp_path / "x.txt").write_bytes(b"one\ntw\xe9")
    with pytest.raises(DataError, match=r"x\.txt:2: not utf-8: byte 0xe9.*latin-1"):
        read_documents(str(tmp_path), "*.txt", "utf-8")
    with pytest.raises(DataError, match="knows no encoding 'klingon'"):
        read_documents(str(tmp_path), "*.txt", "klingon")
    (tmp_path / "x.txt").write_text(" \n")
    with pytest.raises(DataError, match="no text"):
        read_documents(str(tmp_path), "*.txt", "utf-8")


def test_a_long_document_is_cut_between_paragraphs_and_nothing_is_lost() -> None:
    text = _PARAGRAPH * 300
    units = units_of([text], "auto")
    assert 40 <= len(units) <= 70
    assert "".join(unit.text for unit in units) == text
    assert all(unit.text.startswith("It was") and unit.text.endswith("\n\n") for unit in units)
    assert [unit.last for unit in units] == [False] * (len(units) - 1) + [True]


def test_many_documents_stay_whole() -> None:
    assert [unit.text for unit in units_of(["text"] * 20, "auto")] == ["text"] * 20


@pytest.mark.parametrize("seed", range(3))
def test_shares_are_shares_of_the_text(seed: int) -> None:
    sizes = np.random.default_rng(seed).integers(50, 400, 200)
    units = units_of(["x" * size for size in sizes], "document")
    parts = divide(units, (0.8, 0.1, 0.1), seed)
    found = np.array([sizes[part].sum() for part in parts]) / sizes.sum()
    np.testing.assert_allclose(found, [0.8, 0.1, 0.1], atol=0.02)
    assert sorted(np.concatenate(parts)) == list(range(200))


def test_three_documents_make_three_splits_and_two_do_not() -> None:
    units = units_of(["a" * 100, "b", "c"], "document")
    assert all(len(part) == 1 for part in divide(units, (0.8, 0.1, 0.1), 0))
    with pytest.raises(DataError, match="split_by: block"):
        divide(units[:2], (0.8, 0.1, 0.1), 0)


def test_neighbours_are_joined_but_not_over_a_gap_or_the_end_of_a_document() -> None:
    units = [*units_of(["a b c d"], "block"), *units_of(["e"], "document")]
    assert passages(units, np.array([0, 1, 3, 4])) == (["a b ", "d", "e"], [False, True, True])
