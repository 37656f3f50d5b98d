"""Texts and words as ids: cut where ``transformers`` cuts, words aligned with their first tokens."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.tokenization.encoding import Encoder
from lamplighter.data.tokenization.training import train

TEXTS = ["the lamplighter lights lamps", "low lower lowest; unhappily", "über den Lampen"] * 3
WORDPIECE = train(TEXTS, "wordpiece", 60)
BPE = train(TEXTS, "bpe", 300)
WORDS = [["the", "lamplighter"], ["Lowest", "unhappily", "low"], ["lights"]]


@pytest.mark.parametrize("longest", [3, 5, 8, 100])
@pytest.mark.parametrize("asset", [WORDPIECE, BPE], ids=["wordpiece", "bpe"])
def test_long_texts_are_cut_as_transformers_cuts(asset: bytes, longest: int, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    (tmp_path / "tokenizer.json").write_bytes(asset)
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    found = Encoder(asset, max_length=longest).texts(TEXTS)
    for text, row, length in zip(TEXTS, found.ids, found.lengths):
        assert row.tolist() == theirs(text, truncation=True, max_length=longest)["input_ids"]
        assert length == len(theirs(text)["input_ids"])


def test_words_are_encoded_as_transformers_does(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    (tmp_path / "tokenizer.json").write_bytes(WORDPIECE)
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    found = Encoder(WORDPIECE).words(WORDS)
    assert found.starts is not None
    for words, row, starts in zip(WORDS, found.ids, found.starts):
        wanted = theirs(words, is_split_into_words=True)
        assert row.tolist() == wanted["input_ids"]
        firsts = [wanted.word_ids().index(word) for word in range(len(words))]
        assert starts.tolist() == firsts


def test_bytes_see_a_space_before_each_word(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = json.loads(BPE)["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "".join(" ".join(p) + "\n" for p in model["merges"]))
    theirs = transformers.GPT2Tokenizer.from_pretrained(tmp_path, add_prefix_space=True)
    found = Encoder(BPE, specials=False).words(WORDS)
    for words, row in zip(WORDS, found.ids):
        assert row.tolist() == theirs(words, is_split_into_words=True)["input_ids"]


def test_words_behind_the_cut_have_no_place() -> None:
    found = Encoder(train(["a b c d e f"], "words", 20), max_length=5).words([["a", "b", "c", "d"], ["e"]])
    assert found.starts is not None
    assert [starts.tolist() for starts in found.starts] == [[1, 2, 3, -1], [1]]
    assert found.lengths.tolist() == [6, 3] and found.ids.lengths.tolist() == [5, 3]
    assert [row[-1] for row in found.ids] == [3, 3]


def test_a_word_of_no_token_is_the_unknown_one_or_nowhere() -> None:
    words = Encoder(train(["the low lamp"], "words", 20)).words([["the", "\u200b", "low"]])
    assert words.starts is not None and words.starts[0].tolist() == [1, 2, 3]
    assert words.ids[0][2] == 1
    nowhere = Encoder(WORDPIECE)
    nowhere.unknown = None
    assert nowhere.words([["\u200b", "l"]]).starts[0].tolist() == [-1, 1]  # type: ignore[index]


def test_specials_can_be_left_out() -> None:
    with_, without = Encoder(WORDPIECE), Encoder(WORDPIECE, specials=False)
    assert (with_.begin, with_.end, without.begin, without.end) == ((2,), (3,), (), ())
    np.testing.assert_array_equal(with_.texts(TEXTS).ids[0][1:-1], without.texts(TEXTS).ids[0])


def test_decode_gives_the_text_back() -> None:
    encoder = Encoder(BPE)
    assert [encoder.decode(row) for row in encoder.texts(TEXTS).ids] == TEXTS


def test_too_short_and_broken() -> None:
    with pytest.raises(DataError, match="max_length 2: begin and end tokens leave no room"):
        Encoder(WORDPIECE, max_length=2)
    with pytest.raises(DataError, match=r"not a readable tokenizer.json"):
        Encoder(b"{}")
