"""The step that makes token ids: what it gives, and what it refuses by row and field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamplighter.core.errors import InputError, LamplighterError
from lamplighter.data.preprocessing.pipeline import Pipeline
from lamplighter.data.preprocessing.text import Tokenize
from lamplighter.data.tokenization.training import train

ASSETS = {"tokenizer.json": train(["to be or not to be that is the question"], "words", 40)}
PIECES = {"tokenizer.json": train(["the lamplighter lights lamps"] * 3, "wordpiece", 40)}


def step(**settings: Any) -> Tokenize:
    return Tokenize("text", pad=0, **{"max_length": 8, "assets": ASSETS, **settings})


def test_ids_are_filled_up_to_the_longest_and_masked() -> None:
    found = step()([{"text": "to be"}, "to be or not to", {"text": "be"}])
    assert {name: array.dtype.name for name, array in found.items()} == {
        "input_ids": "int64",
        "attention_mask": "bool",
        "lengths": "int64",
    }
    assert found["input_ids"].shape == (3, 7)
    assert found["attention_mask"].sum(axis=1).tolist() == [4, 7, 3]
    assert (found["input_ids"][~found["attention_mask"]] == 0).all()
    assert found["input_ids"][0, :4].tolist() == [2, *found["input_ids"][1, 1:3], 3]


def test_long_texts_are_cut_and_their_length_is_told() -> None:
    found = step(max_length=5)(["to be or not to be", "to be"])
    assert found["input_ids"].shape == (2, 5) and found["lengths"].tolist() == [8, 4]
    assert found["input_ids"][0, -1] == 3


@pytest.mark.parametrize(
    ("row", "field", "message"),
    [
        ({"text": 5}, "text", "expected a text, not 5"),
        ({"text": None}, "text", "expected a text, not null"),
        ({"text": ""}, "text", "the text is empty"),
        ({"text": " \n\t\u2003"}, "text", "the text is empty"),
        ({"text": "\u200b"}, "text", "no token is left of the text"),
        ({"words": "x"}, "text", "the field is missing"),
        ({"text": "a", "x": 1}, "x", "unknown field; this model reads 'text'"),
        (["to", "be"], None, "expected a text or an object with the field text"),
        (7, None, "expected a text or an object with the field text"),
    ],
)
def test_what_is_no_text_is_named(row: Any, field: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        step(assets=PIECES)([{"text": "lamps"}, row])
    assert caught.value.row == 1 and caught.value.field == field


def test_other_fields_may_be_allowed() -> None:
    assert len(step(ignored=("label",))([{"text": "to be", "label": "x"}])["lengths"]) == 1


def test_words_come_with_their_places() -> None:
    found = step(assets=PIECES, words=True, max_length=20)([{"text": ["the", "lamps"]}, "lamplighter lights", ["the"]])
    for row in range(3):
        words = found["words"][row]
        ids, starts = found["input_ids"][row], found["word_starts"][row]
        assert starts.sum() == len(words)
        alone = [step(assets=PIECES, specials=False, max_length=20)([word])["input_ids"][0] for word in words]
        assert ids[starts].tolist() == [own[0] for own in alone]
        assert ids[found["attention_mask"][row]].tolist() == [2, *np.concatenate(alone), 3]
    assert found["words"].tolist() == [["the", "lamps"], ["lamplighter", "lights"], ["the"]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": []}, "there are no words"),
        ({"text": "  "}, "there are no words"),
        ({"text": ["the", ""]}, 'word 1 is "", no word'),
        ({"text": ["the", 3]}, "word 1 is 3, no word"),
        ({"text": 3}, "expected a list of words or a text, not 3"),
        ({"text": ["the"] * 9}, "the sentence has 11 tokens, this model reads 8; divide it"),
    ],
)
def test_sentences_are_checked_and_never_cut(row: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        step(assets=PIECES, words=True)(["the", row])
    assert (caught.value.row, caught.value.field) == (1, "text")


def test_the_tokenizer_is_an_asset() -> None:
    spec = {"name": "tokenize", "field": "text", "pad": 0, "max_length": 8}
    assert Pipeline([spec], ASSETS)(["to be"])["input_ids"].shape == (1, 4)
    with pytest.raises(LamplighterError, match=r"the asset 'tokenizer.json' is missing"):
        Pipeline([spec])


def test_statistics_are_of_the_whole_text() -> None:
    own = step(max_length=4)
    rows = [{"text": "to be or zzz"}, {"text": "to be"}]
    names, values = own.statistic_names(), own.statistics(rows, own(rows))
    assert names[:3] == ("tokens", "characters", "characters_per_token") and names[-1] == "unknown_tokens"
    assert values.dtype == np.float32
    assert values[:, 0].tolist() == [4, 2] and values[:, 1].tolist() == [12, 5]
    assert values[:, -1].tolist() == [0, 0]  # the unknown word is behind the cut
    whole = step(max_length=9)
    assert whole.statistics(rows, whole(rows))[:, -1].tolist() == [0.25, 0]
