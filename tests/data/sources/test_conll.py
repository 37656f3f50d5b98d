"""Tagged sentences: aligned with tokens, whole in one split, and refused at their line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.leakage import duplicates
from lamplighter.data.sources.conll import Conll

PEOPLE = ["Ada", "Grace", "Alan", "Kurt", "Emmy", "Sofja"]


def text(sentences: int = 60) -> str:
    found = []
    for i in range(sentences):
        words = [
            ("Yesterday", "O"),
            (PEOPLE[i % 6], "B-PER"),
            (f"Surname{i}", "I-PER"),
            ("saw", "O"),
            ("Berlin", "B-LOC"),
        ]
        found.append("\n".join(f"{word} {tag}" for word, tag in words[i % 2 :]))
    return "\n\n".join(found) + "\n"


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "names.conll").write_text(text())
    return str(tmp_path / "names.conll")


def test_tags_stand_at_the_first_token_of_each_word(path: str) -> None:
    source = Conll(path, vocab_size=70)
    assert source.signature.labels == ("O", "B-LOC", "B-PER", "I-PER")
    assert source.signature.facts()["head"] == "tagger"
    rows, indices = source.split("train"), np.arange(len(source.split("train")))
    batch, raw = rows.fetch(indices), source.raw("train", indices)
    served = source.preprocessing(raw)
    tags = {"Yesterday": "O", "saw": "O", "Berlin": "B-LOC", **dict.fromkeys(PEOPLE, "B-PER")}
    np.testing.assert_array_equal(served["word_starts"], batch["y"].numpy() >= 0)
    for row, y in zip(raw, batch["y"]):
        got = [source.signature.labels[code] for code in y[y >= 0].tolist()]
        assert got == [tags.get(word, "I-PER") for word in row["words"]]
    assert (served["input_ids"].shape[1]) > max(len(row["words"]) for row in raw) + 2  # pieces of words


def test_case_stays_unless_the_recipe_says_otherwise(path: str) -> None:
    kept, lower = Conll(path, vocab_size=80), Conll(path, vocab_size=80, lowercase=True)
    for source, equal in ((kept, False), (lower, True)):
        ids = source.preprocessing([["Berlin"], ["berlin"]])["input_ids"]
        assert np.array_equal(ids[0], ids[-1]) is equal


def test_room_for_the_longest_sentence(tmp_path: Path) -> None:
    long = "\n".join(f"w{i % 7} O" for i in range(200))
    (tmp_path / "l").write_text(text() + "\n\n" + long + "\n")
    source = Conll(str(tmp_path / "l"), vocab_size=80)
    longest = source.signature.tensors[0].longest
    assert longest is not None and longest >= 202 and longest % 8 == 0
    assert source.resolved()["max_length"] == longest
    with pytest.raises(DataError, match=r"/l:332: column 'words': the sentence has .* set data.max_length higher"):
        Conll(str(tmp_path / "l"), vocab_size=80, max_length=100)


def test_files_of_their_own(path: str, tmp_path: Path) -> None:
    (tmp_path / "test").write_text("Ada B-PER\n\nBerlin B-LOC\n")
    source = Conll(path, test=str(tmp_path / "test"))
    assert source.raw("test", np.arange(2)) == [{"words": ["Ada"]}, {"words": ["Berlin"]}]
    assert [len(source.split(name)) for name in ("train", "val", "test")] == [53, 7, 2]


def test_broken_tags_are_refused_or_mended(tmp_path: Path) -> None:
    (tmp_path / "w").write_text(text() + "\nx O\nBerlin I-LOC\n")
    with pytest.raises(DataError, match=r"/w:\d+: 'I-LOC' goes on with an entity, but follows 'O'"):
        Conll(str(tmp_path / "w"))
    assert "1 tags began no entity and were mended" in Conll(str(tmp_path / "w"), mend=True).notes


def test_a_tag_that_training_never_sees(tmp_path: Path) -> None:
    (tmp_path / "test").write_text("Ada B-PER\nACME B-ORG\n")
    (tmp_path / "w").write_text(text())
    with pytest.raises(DataError, match=r"/test:1: the tag 'B-ORG' is in no sentence of the training split"):
        Conll(str(tmp_path / "w"), test=str(tmp_path / "test"))
    (tmp_path / "o").write_text("a O\n\nb O\n\nc O\n")
    with pytest.raises(DataError, match="all words have the tag 'O'"):
        Conll(str(tmp_path / "o"))


def test_copies_of_sentences_are_found(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("\n".join([text(30), text(30)]))
    note = duplicates.note(Conll(str(tmp_path / "w"), vocab_size=80))
    assert note is not None and "have the same inputs as a row of an earlier split" in note
