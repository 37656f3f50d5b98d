"""Whether two runs answer the same question about the same rows, so that one may learn from or vote with the other."""

from __future__ import annotations

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.core.recipe import Component
from lamplighter.core.signature import Signature
from lamplighter.data.source import Source


def check_same_question(name: str, other: Source, source: Source) -> None:
    """Refuse data whose network takes other tensors, or answers with other labels.

    Args:
        name: what to call the other run in errors.
        other: its data.
        source: the data here.

    Raises:
        DataError: says what differs.
    """
    theirs, ours = other.signature, source.signature
    if theirs.labels != ours.labels or len(theirs.targets) != len(ours.targets):
        raise DataError(f"{name} predicts {_targets(theirs)}, this data has {_targets(ours)}")
    if theirs.tensors != ours.tensors or other.preprocessing.specs != source.preprocessing.specs:
        raise DataError(
            f"{name} takes other inputs than this data gives (columns, image size, or how they were scaled); train "
            "both on the same data and splits"
        )


def is_same_table(other: Component, data: Component) -> bool:
    """Whether two recipes' ``data`` sections read the same rows, so that row positions mean the same in both."""
    keys = ("path", "target", "drop_blank_targets")  # the last two decide which rows of a table are left out
    if data.name == "arrays":  # given in Python: nobody knows whether they are the same
        return False
    return other.name == data.name and all(other.params.get(key) == data.params.get(key) for key in keys)


def check_unseen(name: str, other: Source, source: Source) -> None:
    """Refuse a run that was trained on rows which judge here: its answers to them are no evidence.

    Args:
        name: what to call the other run in errors.
        other: its data, the same table as ``source``.
        source: the data here.

    Raises:
        DataError: says how many rows.
    """
    judging = np.concatenate([source.splits.val, source.splits.test])
    seen = len(np.intersect1d(other.splits.train, judging))
    if seen:
        raise DataError(
            f"{name} was trained on {seen:,} of the {len(judging):,} rows that validate and test here, because the "
            "splits differ; train both with the same seed, or the same data.split_seed"
        )


def _targets(signature: Signature) -> str:
    if signature.labels:
        shown = ", ".join(signature.labels[:5]) + (", ..." if len(signature.labels) > 5 else "")
        return f"{len(signature.labels)} classes ({shown})"
    return ", ".join(f"the number '{target.name}'" for target in signature.targets)
