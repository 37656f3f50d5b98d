"""What sources of pairs share: one vocabulary for both sides, learned on the training split alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.sources._pairs import Pairs
from lamplighter.data.splits import Splits

SOURCES = [f"in{number} both" for number in range(12)]
TARGETS = [f"out{number} both more words" if number % 2 else f"out{number}" for number in range(12)]
SPLITS = Splits(np.arange(8), np.array([8, 9]), np.array([10, 11]))


def _pairs(tokenizer: str = "words") -> Pairs:
    more: dict[str, Any] = {"vocab_size": 100, "lowercase": None, "max_length": 8, "bucket": 0, "fitted": None}
    return Pairs((SOURCES, TARGETS), ("given", "wanted"), lambda row: f"line {row}", SPLITS, tokenizer, **more)


def test_the_vocabulary_is_that_of_both_sides_of_training() -> None:
    known = _pairs().tokenizer.tokenizer.get_vocab()
    assert {"in0", "out0", "both", "more", "in7", "out7"} <= known.keys()
    assert not {"in8", "out8", "in11", "out11"} & known.keys()


def test_a_batch_has_the_source_the_begin_token_and_the_target() -> None:
    pairs = _pairs()
    vocabulary = pairs.signature.vocabulary
    assert vocabulary is not None
    batch = pairs.split("train").fetch(np.array([2, 3]))
    name = pairs.tokenizer.tokenizer.id_to_token
    given = [
        [name(id_) for id_ in ids[mask].tolist()] for ids, mask in zip(batch["input_ids"], batch["attention_mask"])
    ]
    assert [[token for token in row if token.isalnum()] for row in given] == [["in2", "both"], ["in3", "both"]]
    assert batch["decoder_input_ids"].tolist() == [[vocabulary.bos]] * 2
    short, long = batch["y"].tolist()
    assert name(short[0]) == "out2" and short[1:] == [vocabulary.eos, -1, -1, -1]
    assert [name(id_) for id_ in long[:4]] == ["out3", "both", "more", "words"] and long[4] == vocabulary.eos
    assert pairs.raw("test", np.array([1])) == [{"given": "in11 both"}]
    assert pairs.signature.tensors[-1].longest == 8  # half as many more as the longest, 5 with the end token


def test_a_vocabulary_without_begin_and_end_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    path = tmp_path / "tokenizer.json"
    Tokenizer(WordLevel({"[PAD]": 0, "[UNK]": 1, "both": 2}, unk_token="[UNK]")).save(str(path))
    with pytest.raises(DataError, match="no tokens that begin and end a text; train one: bpe"):
        _pairs(str(path))
