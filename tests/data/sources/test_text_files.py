"""Packed rows of text files: no passage in two splits, targets one ahead, the row that a client sends."""

from __future__ import annotations

import pydoc_data.topics
from pathlib import Path

import numpy as np
import pytest
import torch

from lamplighter.core.errors import DataError
from lamplighter.data.sources.text_files import TextFiles

TOPICS = sorted(pydoc_data.topics.topics.items())[:30]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("topics")
    for name, text in TOPICS:
        (place / f"{name}.txt").write_text(text, encoding="utf-8")
    return place


def test_no_passage_is_in_two_splits_and_every_word_is_in_one(folder: Path) -> None:
    source = TextFiles(str(folder), vocab_size=400, length=32)
    found = {
        name: " ".join(row["text"] for row in source.raw(name, np.arange(len(source.split(name)))))
        for name in ("train", "val", "test")
    }
    words = sum(len(text.replace("</s>", " ").split()) for text in found.values())
    assert words == pytest.approx(sum(len(text.split()) for _, text in TOPICS), rel=0.02)  # rows may cut between signs
    for unit in source.splits.test:
        start = " ".join(TOPICS[unit][1].split()[:5])
        assert start in " ".join(found["test"].replace("</s>", " ").split())


def test_the_target_of_a_token_is_the_next_one(folder: Path) -> None:
    batch = TextFiles(str(folder), vocab_size=400, length=32).split("train").fetch(np.arange(20))
    ids, y, mask = batch["input_ids"], batch["y"], batch["attention_mask"]
    assert torch.equal(y[:, :-1][mask[:, 1:]], ids[:, 1:][mask[:, 1:]])
    last = mask.sum(dim=1) - 1
    assert (y[torch.arange(20), last] == -1).all() and (y[~mask] == -1).all()
    assert (ids[:, 0] == 2).all()  # the begin token: the first word of a row is foretold, too


def test_documents_end_with_the_end_token_and_rows_go_on_behind_it(folder: Path) -> None:
    source = TextFiles(str(folder), vocab_size=400, length=32)
    batch = source.split("train").fetch(np.arange(len(source.split("train"))))
    ends = batch["input_ids"] == 3
    assert ends.sum() == len(source.splits.train)
    inside = ends[:, :-1] & batch["attention_mask"][:, 1:]
    assert inside.sum() >= len(source.splits.train) - 3
    apart = TextFiles(str(folder), vocab_size=400, length=32, join=False)
    batch = apart.split("train").fetch(np.arange(len(apart.split("train"))))
    assert not ((batch["input_ids"] == 3)[:, :-1] & batch["attention_mask"][:, 1:]).any()


def test_rows_are_full(folder: Path) -> None:
    source = TextFiles(str(folder), vocab_size=400, length=32)
    assert source.split("train").lengths.mean() > 29 and source.split("train").lengths.max() == 32


def test_the_vocabulary_is_learned_on_the_training_split_alone(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number:02}.txt").write_text(_name(number) + " and others " * 20)
    source = TextFiles(str(tmp_path), tokenizer="words", vocab_size=700, length=32)
    known = source.tokenizer.tokenizer.get_vocab()
    assert all(_name(unit) in known for unit in source.splits.train)
    assert not any(_name(unit) in known for unit in [*source.splits.val, *source.splits.test])


def _name(number: int) -> str:
    return "zebra" + "abcdefghij"[number // 10] + "abcdefghij"[number % 10]


def test_a_client_may_send_more_than_a_row_and_the_end_of_it_counts(folder: Path) -> None:
    source = TextFiles(str(folder), vocab_size=400, length=32)
    long = source.preprocessing([{"text": "one two three " * 50 + "the very end"}])
    assert long["input_ids"].shape == (1, 32)
    assert source.tokenizer.decode(long["input_ids"][0]).endswith("the very end")
    both = TextFiles(str(folder), tokenizer="wordpiece", vocab_size=600, length=32, around="both")
    cut = both.preprocessing([{"text": "one two three " * 50}])
    assert cut["input_ids"][0, 0] == 2 and cut["input_ids"][0, -1] == 3


def test_too_little_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("word")
    with pytest.raises(DataError, match="cannot be divided"):
        TextFiles(str(tmp_path), split_by="document")
