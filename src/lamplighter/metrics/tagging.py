"""The numbers of tagged text: `metrics` and `scores` of sentences.

An interval draws whole sentences, since the words of one sentence are no independent rows.

Legend: N sentences, M words of the longest, K tags, T types of entities.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics import intervals, tags
from lamplighter.metrics.score import Score


def metrics(predicted: np.ndarray, y: np.ndarray, log_loss: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
    """Metrics over all sentences.

    Args:
        predicted: (N, M) index of each word's tag.
        y: (N, M) the true ones; -1 where there is no word, or none with a tag.
        log_loss: (N,) sum of -log p(true tag) over the words of each sentence.
        labels: the K tags.

    Returns:
        ``loss`` (log-loss of a word), ``token_accuracy``, and where the tags are those of entities ``entity_f1``,
        ``entity_precision`` and ``entity_recall``.

    >>> found = metrics(np.array([[1, 0]]), np.array([[1, 2]]), np.array([1.0]), ("O", "B-PER", "B-LOC"))
    >>> {name: round(value, 4) for name, value in found.items()}
    {'loss': 0.5, 'token_accuracy': 0.5, 'entity_f1': 0.6667, 'entity_precision': 1.0, 'entity_recall': 0.5}
    """
    return _of_sums(counted(predicted, y, log_loss, labels).sum(axis=0), _has_entities(labels))


def scores(
    predicted: np.ndarray,
    y: np.ndarray,
    log_loss: np.ndarray,
    labels: Sequence[str],
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Score]:
    """`metrics` with 95% intervals; n counts sentences.

    Args:
        predicted: as in `metrics`, like the next three.
        y: see there.
        log_loss: see there.
        labels: see there.
        seed: of the run.
        level: coverage.
    """
    counts, entities = counted(predicted, y, log_loss, labels), _has_entities(labels)
    values = _of_sums(counts.sum(axis=0), entities)
    drawn = [_of_sums(sums, entities) for sums in intervals.resampled_means(counts, seed) * len(counts)]
    found = {}
    for name, value in values.items():
        resampled = np.array([each[name] for each in drawn])
        if np.isfinite(value) and np.isfinite(resampled).any():
            low, high = intervals.percentile(resampled[np.isfinite(resampled)], level)
            found[name] = Score(value=value, n=len(y), low=min(low, value), high=max(high, value), level=level)
    return found


def counted(predicted: np.ndarray, y: np.ndarray, log_loss: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """(N, 6) of each sentence: log-loss, words, right ones, entities found right, predicted, and that there are.

    Raises:
        DataError: no word has a tag.
    """
    known = y >= 0
    if not known.any():
        raise DataError("no word has a tag; nothing can be judged")
    found = np.zeros((len(y), 6))
    found[:, 0] = log_loss
    found[:, 1] = known.sum(axis=1)
    found[:, 2] = ((predicted == y) & known).sum(axis=1)
    if _has_entities(labels):
        for row, (own, true) in enumerate(zip(*tags.tag_lists(predicted, y, labels))):
            ours, theirs = set(tags.entities(own)), set(tags.entities(true))
            found[row, 3:] = len(ours & theirs), len(ours), len(theirs)
    return found


def of_types(predicted: np.ndarray, y: np.ndarray, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and number of true entities of each type; empty where the tags name no entities.

    >>> of_types(np.array([[1, 0]]), np.array([[1, 2]]), ("O", "B-PER", "B-LOC"))["PER"]
    {'precision': 1.0, 'recall': 1.0, 'f1': 1.0, 'entities': 1}
    """
    if not _has_entities(labels):
        return {}
    counts = tags.entity_counts(*tags.tag_lists(predicted, y, labels))
    return {
        kind: {
            "precision": tags.entity_precision({kind: each}),
            "recall": tags.entity_recall({kind: each}),
            "f1": tags.entity_f1({kind: each}),
            "entities": int(each[2]),
        }
        for kind, each in counts.items()
    }


def _has_entities(labels: Sequence[str]) -> bool:
    """Whether the tags are ``O`` and prefixes with a type: BIO or IOBES."""
    others = [label for label in labels if label != "O"]
    return bool(others) and all(label[:2] in ("B-", "I-", "E-", "S-") and len(label) > 2 for label in others)


def _of_sums(sums: np.ndarray, entities: bool) -> dict[str, float]:
    loss, words, right, hits, predicted, true = sums.tolist()
    found = {
        "loss": loss / words if words else float("nan"),
        "token_accuracy": right / words if words else float("nan"),
    }
    if entities:
        found["entity_f1"] = 2 * hits / (predicted + true) if predicted + true else float("nan")
        found["entity_precision"] = hits / predicted if predicted else 0.0
        found["entity_recall"] = hits / true if true else 0.0
    return found
