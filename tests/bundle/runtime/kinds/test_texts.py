"""Choosing tokens, ties, feedback, and manifests that lack what a kind needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamplighter.bundle.manifest import Output
from lamplighter.bundle.runtime.kinds.language_model import LanguageModel
from lamplighter.bundle.runtime.kinds.masked_lm import MaskedLM
from lamplighter.bundle.runtime.kinds.seq2seq import Seq2Seq
from lamplighter.bundle.runtime.kinds.texts import Written, choose, padded
from lamplighter.core.errors import BundleError, InputError

VOCABULARY = {"size": 8, "pad": 0, "bos": 1, "eos": 2, "mask": 3}


def kind(made: Any, name: str, **settings: Any) -> Any:
    given = {"vocabulary": VOCABULARY, "max_new_tokens": 3, "longest": 4, **settings}
    return made(Output(kind=name, settings=given))  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["vocabulary", "max_new_tokens", "longest"])
def test_settings_that_are_missing_are_named(missing: str) -> None:
    with pytest.raises(BundleError, match=f"settings.{missing}"):
        kind(LanguageModel, "language-model", **{missing: None})


def test_roles_that_are_missing_are_named() -> None:
    with pytest.raises(BundleError, match=r"settings.vocabulary.mask"):
        kind(MaskedLM, "masked-lm", vocabulary={"size": 8, "pad": 0})
    with pytest.raises(BundleError, match=r"bos and eos"):
        kind(Seq2Seq, "seq2seq", vocabulary={"size": 8, "pad": 0})


def test_probabilities_are_those_among_what_may_be_written() -> None:
    token, log_p, lead = choose(np.log([[0.5, 0.1, 0.3, 0.1]]), never=[0])
    assert token.tolist() == [2] and np.exp(log_p[0]) == pytest.approx(0.6) and lead[0] == pytest.approx(np.log(3))


def test_answers_may_differ_where_two_tokens_are_a_draw() -> None:
    own = kind(Seq2Seq, "seq2seq")
    ours, theirs = Written(text="a", confidence=0.5), Written(text="b", confidence=0.5)
    assert own.difference(ours, theirs).startswith("text ")
    assert own.difference(ours, Written(text="a", confidence=0.5001)) is None
    assert "confidence" in own.difference(ours, Written(text="a", confidence=0.6))
    theirs.margin = 1e-5
    assert own.difference(ours, theirs) is None


def test_feedback_is_the_right_text() -> None:
    own = kind(Seq2Seq, "seq2seq")
    assert own.truth(" a b ") == "a b" and own.truth(["a", "b"]) == "a b"
    with pytest.raises(InputError, match=r"give a text"):
        own.truth({"a": 1.0})
    assert own.error("a b", "a b ", np.zeros(2)) == 0 and own.error("a b", None, np.zeros(2)) == 1
    entries = own.entries(np.array([[0.5, 3.0]]), [{"text": "a b"}])
    assert entries == [{"label": "a b", "value": None, "confidence": 0.5}]


def test_outputs_of_another_shape_are_named() -> None:
    own, ids = kind(LanguageModel, "language-model"), {"input_ids": np.zeros((2, 3), np.int64)}
    with pytest.raises(BundleError, match=r"\(2, 7\) for 8 tokens"):
        own.check_outputs({"logits": np.zeros((2, 7))}, ids)
    with pytest.raises(BundleError, match=r"log_probabilities"):
        own.check_outputs({"logits": np.zeros((2, 8)), "log_probabilities": np.zeros((2, 4))}, ids)


def test_rows_are_filled_up_on_the_right() -> None:
    ids, mask = padded([np.array([5, 6]), np.array([7])], pad=0)
    assert ids.tolist() == [[5, 6], [7, 0]] and mask.tolist() == [[True, True], [True, False]]
