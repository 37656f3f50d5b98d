"""From logits of tokens to tags of words: read at first tokens, decoded as trained, counted for the monitor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamplighter.bundle.manifest import Output
from lamplighter.bundle.runtime.kinds.tagging import Tagging
from lamplighter.core.errors import BundleError, InputError
from lamplighter.core.seeding import generator
from lamplighter.metrics.calibration import softmax

LABELS = ("O", "B-PER", "I-PER")
FREE = {"start": [0.0] * 3, "end": [0.0] * 3, "transitions": [[0.0] * 3] * 3}
FORBIDDEN = {"start": [0.0, 0.0, -1e6], "end": [0.0] * 3, "transitions": [[0, 0, -1e6], [0, 0, 0], [0, 0, 0]]}


def kind(**settings: Any) -> Tagging:
    return Tagging(Output(kind="tagging", labels=LABELS, settings=settings))


def rows() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Two rows; the second of two words, the first of which has three tokens."""
    logits = generator(0, "logits").normal(size=(2, 5, 3)).astype(np.float32) * 3
    words = np.empty(2, dtype=object)
    words[0], words[1] = ["Ada", "Lovelace", "wrote"], ["Charles", "B."]
    starts = np.array([[0, 1, 1, 1, 0], [0, 1, 0, 0, 1]], bool)
    return {"logits": logits}, {"word_starts": starts, "words": words}


@pytest.mark.parametrize("settings", [{}, {"crf": FREE}], ids=["plain", "a crf that says nothing"])
def test_each_word_is_read_at_its_first_token(settings: dict[str, Any]) -> None:
    outputs, tensors = rows()
    answers = kind(**settings).answers(outputs, tensors)
    for answer, logits, starts, words in zip(answers, outputs["logits"], tensors["word_starts"], tensors["words"]):
        own = softmax(logits[starts])
        assert answer["words"] == words
        assert answer["tags"] == [LABELS[code] for code in own.argmax(axis=1)]
        np.testing.assert_allclose(answer["confidences"], own.max(axis=1), rtol=1e-6)


def test_entities_name_words() -> None:
    outputs, tensors = rows()
    outputs["logits"][:] = 0
    outputs["logits"][0, 1, 1] = outputs["logits"][0, 2, 2] = 9
    outputs["logits"][0, 3, 0] = outputs["logits"][1, [1, 4], 0] = 9
    first, second = kind().answers(outputs, tensors)
    (entity,) = first["entities"]
    assert entity.pop("confidence") == min(first["confidences"][:2])
    assert entity == {"type": "PER", "start": 0, "end": 2, "text": "Ada Lovelace"}
    assert second["entities"] == []
    flat = kind().flat(first | {"entities": [{**entity, "confidence": 1.0}]})
    assert flat["tags"] == "B-PER I-PER O" and flat["entities"] == "Ada Lovelace (PER)"
    assert set(flat) == set(kind().fields(False))


def test_what_the_scheme_forbids_is_never_answered() -> None:
    outputs, tensors = rows()
    outputs["logits"][..., 2] += 20  # each word by itself would go on with an entity that never began
    assert set(kind().answers(outputs, tensors)[0]["tags"]) == {"I-PER"}
    assert kind(crf=FORBIDDEN).answers(outputs, tensors)[0]["tags"] == ["B-PER", "I-PER", "I-PER"]


def test_the_monitor_keeps_shares() -> None:
    outputs, tensors = rows()
    shares = kind().scores(outputs, tensors)
    for row, answer in zip(shares, kind().answers(outputs, tensors)):
        assert row.tolist() == [answer["tags"].count(label) / len(answer["tags"]) for label in LABELS]
    kept = kind().kept({**outputs, "embedding": np.ones((2, 4))}, tensors)
    assert set(kept) == {"shares", "embedding"}
    np.testing.assert_array_equal(kind().scores(kept, {}), shares)


def test_records_and_feedback() -> None:
    outputs, tensors = rows()
    own = kind()
    answers = own.answers(outputs, tensors)
    entry = own.entries(own.scores(outputs, tensors), answers)[0]
    assert entry["label"] == " ".join(answers[0]["tags"])
    assert entry["confidence"] == pytest.approx(np.mean(answers[0]["confidences"]))
    assert own.entries(np.zeros((1, 3)), None) == [{"label": None, "value": None, "confidence": None}]
    truth = own.truth(answers[0]["tags"])
    assert truth == own.truth(entry["label"]) == entry["label"]
    assert own.error(truth, entry["label"], np.zeros(3)) == 0
    wrong = own.truth(["O", "O", "B-PER"])
    assert own.error(wrong, entry["label"], np.zeros(3)) == 1
    with pytest.raises(InputError, match="2 tags for a sentence of 3 words"):
        own.error(own.truth(["O", "O"]), entry["label"], np.zeros(3))
    for odd, message in ((["X"], "unknown tag 'X'"), ([], "expected a list"), (3, "expected a list")):
        with pytest.raises(InputError, match=message):
            own.truth(odd)


def test_only_ties_may_differ() -> None:
    ours = {"tags": ["O", "B-PER"], "confidences": [0.5, 0.9]}
    assert kind().difference(ours, {"tags": ["B-PER", "B-PER"], "confidences": [0.50002, 0.9]}) is None
    said = kind().difference(ours, {"tags": ["O", "O"], "confidences": [0.5, 0.9]})
    assert said == "tag 'B-PER' of word 1 where torch says 'O'"


def test_numbers_that_are_none_are_refused_where_they_matter() -> None:
    outputs, tensors = rows()
    outputs["logits"][1, 2] = np.nan  # no word begins here
    kind().answers(outputs, tensors)
    outputs["logits"][1, 4] = np.inf
    with pytest.raises(InputError) as caught:
        kind().answers(outputs, tensors)
    assert caught.value.row == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crf": {**FREE, "end": [0.0]}}, "settings: crf"),
        ({"crf": {"start": [0.0], "end": [0.0], "transitions": [[0.0]]}}, "crf of 1 tags for 3 labels"),
        ({"beam": 3}, "tagging knows no 'beam'"),
    ],
)
def test_a_manifest_that_does_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        kind(**settings)


def test_outputs_that_do_not_fit() -> None:
    outputs, tensors = rows()
    kind().check_outputs(outputs, tensors)
    with pytest.raises(BundleError, match="for 3 labels"):
        kind().check_outputs({"logits": outputs["logits"][..., :2]}, tensors)
    with pytest.raises(BundleError, match="tokenize with words: true"):
        kind().check_outputs(outputs, {})
