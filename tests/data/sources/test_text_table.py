"""Texts with classes: how files are divided, what the vocabulary may see, and what is refused at its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.core.signature import Vocabulary
from lamplighter.data.leakage import duplicates
from lamplighter.data.leakage.check import check
from lamplighter.data.sources.text_table import TextTable
from lamplighter.data.split_rules import SplitBy
from lamplighter.data.splits import Splits
from lamplighter.data.tokenization.training import train


def write(path: Path, rows: list[tuple[Any, Any]], **more: list[Any]) -> str:
    lines = [{"text": text, "label": label} for text, label in rows]
    for name, cells in more.items():
        for line, cell in zip(lines, cells):
            line[name] = cell
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


ROWS = [
    (f"{'good' if i % 2 else 'bad'} film number {i} seen by many people here", ["neg", "pos"][i % 2]) for i in range(40)
]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return write(tmp_path / "films.jsonl", ROWS)


def test_signature_and_rows(path: str) -> None:
    source = TextTable(path, tokenizer="words", vocab_size=100, max_length=6)
    assert source.signature.labels == ("neg", "pos")
    assert source.signature.inputs[0].kind == "text"
    assert isinstance(source.signature.vocabulary, Vocabulary)
    assert source.signature.facts()["head"] == "classifier"
    assert source.signature.facts()["max_length"] == 6
    rows, raw = source.split("val"), source.raw("val", np.arange(4))
    for row, y in zip(raw, rows.fetch(np.arange(4))["y"].tolist()):
        assert y == ("good" in row["text"])
    assert any("40 of 40 texts have more than 6 tokens" in note for note in source.notes)


def test_the_vocabulary_sees_the_training_split_alone(path: str) -> None:
    every = np.arange(40)
    source = TextTable(path, tokenizer="words", splits=Splits(every[:20], every[20:30], every[30:]))
    tokens = json.loads(source.preprocessing.assets["tokenizer.json"])["model"]["vocab"]
    assert "19" in tokens and "20" not in tokens and "35" not in tokens


def test_csv_texts_keep_their_spaces_and_their_words(tmp_path: Path) -> None:
    """NA and ? are texts here, not blanks; the space around a text reaches the tokenizer."""
    lines = ["text,label", *(f'"  NA {i}",x' for i in range(9)), *(f"?,y{''}" for _ in range(9)), '" padded ",x']
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    source = TextTable(str(tmp_path / "t.csv"), tokenizer="bpe", vocab_size=300)
    texts = {source.raw(split, np.array([i]))[0]["text"] for split in ("train", "val", "test") for i in range(2)}
    assert texts <= {"?", " padded ", *(f"  NA {i}" for i in range(9))}
    assert sum(len(source.split(split)) for split in ("train", "val", "test")) == 19


def test_files_of_their_own_for_val_and_test(path: str, tmp_path: Path) -> None:
    test = write(tmp_path / "test.jsonl", [("a test text", "pos"), ("another one", "neg")])
    val = write(tmp_path / "val.jsonl", [("a val text", "pos"), ("nothing", "neg"), ("more", "neg")])
    source = TextTable(path, val=val, test=test)
    sizes = {name: len(source.split(name)) for name in ("train", "val", "test")}
    assert sizes == {"train": 40, "val": 3, "test": 2}
    assert source.raw("test", np.array([0]))[0] == {"text": "a test text"}
    cut = TextTable(path, test=test, split=(0.6, 0.2, 0.2))
    assert [len(cut.split(name)) for name in ("train", "val", "test")] == [30, 10, 2]
    again = TextTable(**{**cut.resolved(), "missing": (), "split": (0.6, 0.2, 0.2)})
    assert again.splits.digest == cut.splits.digest
    with pytest.raises(DataError, match="cannot be divided by a column"):
        TextTable(path, test=test, split=SplitBy(by="group", column="label"))


def test_errors_name_the_file_of_the_row(path: str, tmp_path: Path) -> None:
    test = write(tmp_path / "test.jsonl", [("fine", "pos"), ("\u200b", "neg")])
    with pytest.raises(DataError, match=r"test.jsonl:2: column 'text': no token is left of the text"):
        TextTable(path, test=test)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("  ", "pos"), r"films.jsonl:41: no text in column 'text'; fill it in, or .* drop_blank_texts: true"),
        ((5, "pos"), r"films.jsonl:41: column 'text' holds 5, which is no text"),
        (("text", None), r"1 of 41 rows have no value in the target column 'label' \(row 41\)"),
    ],
)
def test_odd_cells_are_named(row: tuple[Any, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "films.jsonl", [*ROWS, row])
    with pytest.raises(DataError, match=message):
        TextTable(path)


def test_blank_texts_may_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "films.jsonl", [*ROWS, (None, "pos"), ("", "neg")])
    source = TextTable(path, drop_blank_texts=True)
    assert "2 of 42 rows have no 'text' and are left out" in source.notes
    assert sum(len(source.split(name)) for name in ("train", "val", "test")) == 40


def test_a_tokenizer_from_a_file(path: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(train(["good bad film"], "words", 30))
    source = TextTable(path, tokenizer=str(tmp_path))
    assert source.signature.vocabulary is not None and source.signature.vocabulary.size == 8
    with pytest.raises(DataError, match=r"data.tokenizer: .*no such tokenizer.*; or train one: bpe, wordpiece, words"):
        TextTable(path, tokenizer="bpee")


def test_another_tokenizer_than_the_runs_is_refused(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was trained on the ids of one tokenizer must not be served with another."""
    source = TextTable(path)
    fitted = source.resolved()["fitted"]
    TextTable(path, fitted=fitted)
    with pytest.raises(DataError, match="not the tokenizer that the run was trained with"):
        TextTable(path, fitted=fitted, lowercase=False)
    TextTable(path, fitted=fitted, seed=1)  # another split has another vocabulary, rightly
    (tmp_path / "tokenizer.json").write_bytes(train(["good bad film"], "words", 30))
    read = TextTable(path, tokenizer=str(tmp_path)).resolved()["fitted"]
    (tmp_path / "tokenizer.json").write_bytes(train(["bad film good film"], "words", 30))
    with pytest.raises(DataError, match="was changed"):
        TextTable(path, tokenizer=str(tmp_path), fitted=read, seed=1)


def test_copies_across_splits_are_found(tmp_path: Path) -> None:
    unique = [(f"text number {i} with some words {i * 7} and more {i * 13}", ["a", "b"][i % 2]) for i in range(60)]
    long = ("the very same text of many words stands here twice", "a")
    path = write(
        tmp_path / "t.jsonl",
        [*unique, long, long, ("short", "a"), ("short", "a")],
        user=[f"u{i % 12}" for i in range(64)],
    )
    every = np.arange(64)
    halves = Splits(np.append(every[:40], [60, 62]), every[40:50], np.append(every[50:60], [61, 63]))
    source = TextTable(path, splits=halves)
    assert duplicates.note(source) is not None
    assert "1 of 12 test rows have the same inputs" in str(duplicates.note(source))
    assert {finding.check for finding in check(source)} == {"exact-duplicates", "group"}
    clean = TextTable(write(tmp_path / "u.jsonl", unique))
    assert duplicates.note(clean) is None


def test_groups_stay_together(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", ROWS, user=[f"u{i // 4}" for i in range(40)])
    source = TextTable(path, split=SplitBy(by="group", column="user"))
    users = {name: set(source.splits[name] // 4) for name in ("train", "val", "test")}
    assert not users["train"] & users["test"] and not users["train"] & users["val"]
