"""Numbers of tagged text: equal to seqeval's and to plain counting, with intervals that draw whole sentences."""

from __future__ import annotations

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.core.seeding import generator
from lamplighter.metrics import tagging

LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def sentences(n: int = 80) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers that are right in seven of ten words; lengths differ."""
    rng = generator(0, "tagging")
    y = rng.choice(5, (n, 12), p=[0.6, 0.1, 0.1, 0.1, 0.1])
    predicted = np.where(rng.random((n, 12)) < 0.7, y, rng.choice(5, (n, 12)))
    y[np.arange(12) >= rng.integers(1, 13, (n, 1))] = -1
    return np.where(y >= 0, predicted, -1), y, rng.gamma(2.0, 1.0, n)


def test_metrics_equal_seqeval_and_counting() -> None:
    seqeval = pytest.importorskip("seqeval.metrics")
    predicted, y, log_loss = sentences()
    found = tagging.metrics(predicted, y, log_loss, LABELS)
    ours = [[LABELS[c] for c in own[true >= 0]] for own, true in zip(predicted, y)]
    theirs = [[LABELS[c] for c in true[true >= 0]] for true in y]
    assert found["entity_f1"] == pytest.approx(seqeval.f1_score(theirs, ours), rel=1e-12)
    assert found["entity_precision"] == pytest.approx(seqeval.precision_score(theirs, ours), rel=1e-12)
    assert found["entity_recall"] == pytest.approx(seqeval.recall_score(theirs, ours), rel=1e-12)
    assert found["token_accuracy"] == pytest.approx((predicted == y)[y >= 0].mean(), rel=1e-12)
    assert found["loss"] == pytest.approx(log_loss.sum() / (y >= 0).sum(), rel=1e-12)


def test_each_type_equals_seqeval() -> None:
    seqeval = pytest.importorskip("seqeval.metrics")
    predicted, y, _ = sentences()
    report = seqeval.classification_report(
        [[LABELS[c] for c in true[true >= 0]] for true in y],
        [[LABELS[c] for c in own[true >= 0]] for own, true in zip(predicted, y)],
        output_dict=True,
    )
    for kind, each in tagging.of_types(predicted, y, LABELS).items():
        wanted = report[kind]
        assert (each["precision"], each["recall"], each["f1"], each["entities"]) == pytest.approx(
            (wanted["precision"], wanted["recall"], wanted["f1-score"], wanted["support"]), rel=1e-12
        )


def test_intervals_draw_sentences() -> None:
    predicted, y, log_loss = sentences(60)
    scores = tagging.scores(predicted, y, log_loss, LABELS)
    assert {score.n for score in scores.values()} == {60}
    for name, value in tagging.metrics(predicted, y, log_loss, LABELS).items():
        assert scores[name].value == pytest.approx(value) and scores[name].low < value < scores[name].high
    # The same sentences ten times over say ten times as much; the same words in one sentence say nothing more.
    more = tagging.scores(np.tile(predicted, (10, 1)), np.tile(y, (10, 1)), np.tile(log_loss, 10), LABELS)
    ratio = (scores["token_accuracy"].high - scores["token_accuracy"].low) / (
        more["token_accuracy"].high - more["token_accuracy"].low
    )
    assert 2.5 < ratio < 4.0  # sqrt(10)
    wide = tagging.scores(np.tile(predicted, (1, 10)), np.tile(y, (1, 10)), 10 * log_loss, LABELS)
    same = (wide["token_accuracy"].high - wide["token_accuracy"].low) / (
        scores["token_accuracy"].high - scores["token_accuracy"].low
    )
    assert same == pytest.approx(1, rel=0.01)


def test_tags_that_name_no_entities_have_no_f1() -> None:
    found = tagging.metrics(np.array([[0, 1]]), np.array([[0, 0]]), np.array([1.0]), ("NOUN", "VERB"))
    assert found == {"loss": 0.5, "token_accuracy": 0.5}
    assert tagging.of_types(np.array([[0]]), np.array([[0]]), ("NOUN", "VERB")) == {}


def test_nothing_to_judge() -> None:
    with pytest.raises(DataError, match="no word has a tag"):
        tagging.metrics(np.full((2, 3), -1), np.full((2, 3), -1), np.zeros(2), LABELS)
    unknown = tagging.scores(*sentences()[:2], np.full(80, np.nan), LABELS)
    assert "loss" not in unknown and "entity_f1" in unknown
