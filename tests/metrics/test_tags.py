"""Entities and their scores against seqeval, and a table of sequences read by hand."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from seqeval import metrics as oracle
from seqeval import scheme as schemes

from lamplighter.core.errors import DataError
from lamplighter.metrics.tags import Entity, entities, entity_counts, entity_f1, entity_precision, entity_recall

CASES: list[tuple[str, dict[str, list[tuple[str, int, int]]]]] = [
    ("O O", {"lenient": [], "bio": [], "iobes": []}),
    ("B-A I-A O", {"lenient": [("A", 0, 2)], "bio": [("A", 0, 2)], "iobes": []}),
    ("B-A B-A", {"lenient": [("A", 0, 1), ("A", 1, 2)], "bio": [("A", 0, 1), ("A", 1, 2)], "iobes": []}),
    ("I-A I-A O", {"lenient": [("A", 0, 2)], "bio": [], "iobes": []}),
    ("B-A I-B", {"lenient": [("A", 0, 1), ("B", 1, 2)], "bio": [("A", 0, 1)], "iobes": []}),
    ("O I-A B-A", {"lenient": [("A", 1, 2), ("A", 2, 3)], "bio": [("A", 2, 3)], "iobes": []}),
    ("S-A S-A", {"lenient": [("A", 0, 1), ("A", 1, 2)], "iobes": [("A", 0, 1), ("A", 1, 2)]}),
    ("B-A I-A E-A", {"lenient": [("A", 0, 3)], "iobes": [("A", 0, 3)]}),
    ("B-A E-A I-A", {"lenient": [("A", 0, 2), ("A", 2, 3)], "iobes": [("A", 0, 2)]}),
    ("B-A E-B", {"lenient": [("A", 0, 1), ("B", 1, 2)], "iobes": []}),
    ("E-A E-A", {"lenient": [("A", 0, 1), ("A", 1, 2)], "iobes": []}),
    ("B-A S-A", {"lenient": [("A", 0, 1), ("A", 1, 2)], "iobes": [("A", 1, 2)]}),
    ("B-A-x I-A-x", {"lenient": [("A-x", 0, 2)], "bio": [("A-x", 0, 2)]}),
    ("", {"lenient": [], "bio": [], "iobes": []}),
]


@pytest.mark.parametrize(("tags", "read"), CASES, ids=[case[0] or "empty" for case in CASES])
def test_sequences_read_by_hand(tags: str, read: dict[str, list[tuple[str, int, int]]]) -> None:
    for scheme, expected in read.items():
        assert entities(tags.split(), scheme) == [Entity(*entity) for entity in expected], scheme  # type: ignore[arg-type]


def _tagged(prefixes: str, seed: int, sentences: int = 40) -> tuple[list[list[str]], list[list[str]]]:
    """True sentences of any tags at all, and the same with a quarter of the tags drawn anew."""
    rng = np.random.default_rng(seed)
    alphabet = ["O", "O", *[f"{p}-{t}" for p in prefixes for t in ("PER", "LOC", "ORG")]]
    y = [[alphabet[i] for i in rng.integers(len(alphabet), size=rng.integers(1, 12))] for _ in range(sentences)]
    fresh = [[alphabet[i] for i in rng.integers(len(alphabet), size=len(sentence))] for sentence in y]
    kept = [rng.random(len(sentence)) < 0.75 for sentence in y]
    return [[a if k else b for a, b, k in zip(*each)] for each in zip(y, fresh, kept)], y


@pytest.mark.parametrize("scheme", ["lenient", "bio", "iobes"])
@pytest.mark.parametrize("seed", range(10))
def test_equals_seqeval(scheme: Any, seed: int) -> None:
    predicted, y = _tagged("BI" if scheme == "bio" else "BIES", seed)
    strict: dict[str, Any] = {"bio": {"mode": "strict", "scheme": schemes.IOB2}}
    strict["iobes"] = {"mode": "strict", "scheme": schemes.IOBES}
    settings = {"zero_division": 0, **strict.get(scheme, {})}
    counts = entity_counts(predicted, y, scheme)
    averages: tuple[Any, ...] = ("micro", "macro", "weighted")
    for average in averages:
        for ours, theirs in (
            (entity_precision, oracle.precision_score),
            (entity_recall, oracle.recall_score),
            (entity_f1, oracle.f1_score),
        ):
            assert ours(counts, average) == pytest.approx(theirs(y, predicted, average=average, **settings), abs=1e-12)


def test_two_right_tags_of_three_are_no_entity() -> None:
    y = [["B-PER", "I-PER", "I-PER"]]
    counts = entity_counts([["B-PER", "I-PER", "O"]], y)
    assert entity_f1(counts) == 0.0
    assert entity_f1(entity_counts(y, y)) == 1.0


def test_an_entity_does_not_reach_into_the_next_sentence() -> None:
    split = entity_counts([["B-PER"], ["I-PER"]], [["B-PER"], ["I-PER"]])
    assert split["PER"].tolist() == [2, 2, 2]


def test_where_not_defined() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        averages: tuple[Any, ...] = ("micro", "macro", "weighted")
        for average in averages:
            assert np.isnan(entity_f1(entity_counts([], []), average))
            assert np.isnan(entity_f1(entity_counts([["O"]], [["O"]]), average))
            assert entity_f1(entity_counts([["O"]], [["B-A"]]), average) == 0.0
            assert entity_precision(entity_counts([["B-A"]], [["O"]]), average) == 0.0
            assert entity_recall(entity_counts([["B-A"]], [["O"]]), average) == 0.0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="1 predicted sentences do not fit 2"):
        entity_counts([["O"]], [["O"], ["O"]])
    with pytest.raises(DataError, match="sentence 1: 1 predicted tags do not fit 2"):
        entity_counts([["O"], ["O"]], [["O"], ["O", "O"]])
    with pytest.raises(DataError, match="sentence 0: token 1: 'X-PER' is no tag of the scheme 'lenient'"):
        entity_counts([["O", "X-PER"]], [["O", "O"]])
    with pytest.raises(DataError, match="'S-PER' is no tag of the scheme 'bio'"):
        entities(["S-PER"], "bio")
