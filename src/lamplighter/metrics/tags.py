"""Entity-level precision, recall and F1 of tagged text: an entity counts when its type and both ends are right.

Tags are ``O`` outside of entities, or a prefix and a type: ``B-PER`` begins, ``I-PER`` goes on, ``E-PER`` ends and
``S-PER`` is an entity of a single token (IOBES; BIO has only B and I).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics import confusion as cm

Scheme = Literal["lenient", "bio", "iobes"]
"""``lenient`` reads all prefixes and mends sequences that no scheme allows as the CoNLL evaluation did: an entity
starts where its type changes, even at an ``I``. ``bio`` takes what begins with ``B`` only, ``iobes`` only what is
``S`` or runs from ``B`` to ``E``; other tags are then part of no entity."""
_PREFIXES = {"lenient": "BIES", "bio": "BI", "iobes": "BIES"}


class Entity(NamedTuple):
    """Tokens ``start`` to ``end`` (exclusive) of one type."""

    type: str
    start: int
    end: int


def entities(tags: Sequence[str], scheme: Scheme = "lenient") -> list[Entity]:
    """The entities of one sentence, in order.

    Args:
        tags: of its tokens.
        scheme: see `Scheme`.

    Raises:
        DataError: a tag that the scheme does not know; names the token.

    >>> entities(["B-PER", "I-PER", "O", "I-LOC"])
    [Entity(type='PER', start=0, end=2), Entity(type='LOC', start=3, end=4)]
    >>> entities(["B-PER", "I-PER", "O", "I-LOC"], "bio")
    [Entity(type='PER', start=0, end=2)]
    """
    found: list[Entity] = []
    parted = [_parted(tag, position, scheme) for position, tag in enumerate(tags)]
    start = 0
    for position, (prefix, kind) in enumerate([*parted, ("O", "")]):
        before = parted[position - 1] if position else ("O", "")
        boundary = prefix in "BSO" or before[0] in "ESO" or kind != before[1]
        if boundary and before[0] != "O" and _whole(parted[start][0], before[0], scheme):
            found.append(Entity(before[1], start, position))
        if boundary:
            start = position
    return found


def entity_counts(
    predicted: Sequence[Sequence[str]], y: Sequence[Sequence[str]], scheme: Scheme = "lenient"
) -> dict[str, np.ndarray]:
    """For each type (3,): entities found right, predicted, and that there are. The counts of batches may be added up.

    Args:
        predicted: tags of each sentence.
        y: true tags of each sentence.
        scheme: see `Scheme`.

    Raises:
        DataError: another number of sentences or tokens, or a tag that the scheme does not know.

    >>> counts = entity_counts([["B-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "B-LOC"]])
    >>> {kind: each.tolist() for kind, each in counts.items()}
    {'LOC': [1, 1, 1], 'PER': [0, 1, 1]}
    """
    if len(predicted) != len(y):
        raise DataError(f"{len(predicted)} predicted sentences do not fit {len(y)} true ones")
    counts: dict[str, np.ndarray] = {}
    for number, (own, true) in enumerate(zip(predicted, y)):
        if len(own) != len(true):
            raise DataError(f"sentence {number}: {len(own)} predicted tags do not fit {len(true)} true ones")
        try:
            ours, theirs = set(entities(own, scheme)), set(entities(true, scheme))
        except DataError as error:
            raise DataError(f"sentence {number}: {error}") from None
        for column, each in enumerate((ours & theirs, ours, theirs)):
            for entity in each:
                counts.setdefault(entity.type, np.zeros(3, dtype=np.int64))[column] += 1
    return dict(sorted(counts.items()))


def entity_precision(counts: dict[str, np.ndarray], average: Literal["micro", "macro", "weighted"] = "micro") -> float:
    """Of the entities predicted, the share that is right. NaN where truth and prediction have none at all.

    Args:
        counts: from `entity_counts`.
        average: all types together, mean over types, or mean weighted by the entities of each type.
    """
    return _averaged(counts, average, predicted=1.0, actual=0.0)


def entity_recall(counts: dict[str, np.ndarray], average: Literal["micro", "macro", "weighted"] = "micro") -> float:
    """Of the entities that there are, the share that was found. Arguments as in `entity_precision`."""
    return _averaged(counts, average, predicted=0.0, actual=1.0)


def entity_f1(counts: dict[str, np.ndarray], average: Literal["micro", "macro", "weighted"] = "micro") -> float:
    """Harmonic mean of both. Arguments as in `entity_precision`.

    >>> counts = entity_counts([["B-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "B-LOC"]])
    >>> entity_f1(counts), entity_precision(counts, "macro")
    (0.5, 0.5)
    """
    return _averaged(counts, average, predicted=0.5, actual=0.5)


def tag_lists(predicted: np.ndarray, y: np.ndarray, labels: Sequence[str]) -> tuple[list[list[str]], list[list[str]]]:
    """Tags of each sentence, predicted and true, as `lamplighter.metrics.tags` takes them."""
    names = np.array(labels, dtype=object)
    pairs = [(names[own[true >= 0]].tolist(), names[true[true >= 0]].tolist()) for own, true in zip(predicted, y)]
    return [own for own, _ in pairs], [true for _, true in pairs]


def _parted(tag: str, position: int, scheme: Scheme) -> tuple[str, str]:
    """Prefix and type; a bare prefix has the type ``_``."""
    prefix, _, kind = tag.partition("-")
    if tag == "O":
        return "O", ""
    if len(prefix) != 1 or prefix not in _PREFIXES[scheme]:
        raise DataError(
            f"token {position}: '{tag}' is no tag of the scheme '{scheme}': O, or {_known(scheme)} and a type"
        )
    return prefix, kind or "_"


def _known(scheme: Scheme) -> str:
    return ", ".join(f"{prefix}-" for prefix in _PREFIXES[scheme])


def _whole(first: str, last: str, scheme: Scheme) -> bool:
    """Whether a run of one type with these prefixes at its ends is an entity."""
    if scheme == "bio":
        return first == "B"
    if scheme == "iobes":
        return (first == "B" and last == "E") or first == last == "S"
    return True


def _averaged(counts: dict[str, np.ndarray], average: str, predicted: float, actual: float) -> float:
    if not counts:
        return float("nan")
    hits, answered, rows = np.stack([*counts.values()], axis=1).astype(np.float64)
    if average == "micro":
        hits, answered, rows = (each.sum(keepdims=True) for each in (hits, answered, rows))
    each = cm.ratio(hits, predicted * answered + actual * rows)
    if average == "weighted":
        return float((each * rows).sum() / rows.sum()) if rows.sum() else 0.0
    return float(each.mean())
