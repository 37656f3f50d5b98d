"""k-fold cross-validation: which rows train and which are held out, in each fold.

Each function returns ``(train, held_out)`` pairs of ascending row positions. `folds_of` chooses among them by what the
rows must respect.
"""

from __future__ import annotations

import itertools

import numpy as np

from lamplighter.core import seeding
from lamplighter.core.errors import DataError
from lamplighter.data.cuts import cut_groups
from lamplighter.data.split_rules import SplitKeys
from lamplighter.data.splits import cut

Fold = tuple[np.ndarray, np.ndarray]


def k_fold(rows: int, folds: int, seed: int) -> list[Fold]:
    """Shuffled rows in ``folds`` parts whose sizes differ by at most one; each part is held out once.

    Args:
        rows: how many there are.
        folds: k, at least 2.
        seed: of the shuffle.

    >>> [(len(train), len(held_out)) for train, held_out in k_fold(10, 3, seed=0)]
    [(6, 4), (7, 3), (7, 3)]
    """
    return _rotate(cut(None, _equal(folds, rows), seed, rows, _names(folds)), np.arange(rows))


def stratified_k_fold(y: np.ndarray, folds: int, seed: int) -> list[Fold]:
    """`k_fold` in which every class has within one row of its share in every part.

    Args:
        y: (rows,) classes; floating point numbers: plain `k_fold`.
        folds: k.
        seed: of the shuffle.
    """
    return _rotate(cut(y, _equal(folds, len(y)), seed, len(y), _names(folds)), np.arange(len(y)))


def group_k_fold(groups: np.ndarray, folds: int, seed: int, y: np.ndarray | None = None) -> list[Fold]:
    """`k_fold` that never divides a group; sizes and classes as even as whole groups allow.

    Args:
        groups: (rows,) any values.
        folds: k, at most the number of groups.
        seed: of the division.
        y: (rows,) classes; None: only sizes count.
    """
    parts = cut_groups(groups, _equal(folds, len(groups)), seed, y, _names(folds))
    return _rotate(parts, np.arange(len(groups)))


def time_series(times: np.ndarray, folds: int, gap: int = 0, held_out: int | None = None) -> list[Fold]:
    """Expanding windows: each fold trains on everything up to a time and is judged on what comes next.

    With n rows, k folds and h rows held out at a time, fold i (from 0) is judged on the h rows that begin at row
    n - (k - i) h in order of time, and trains on all rows before, less the last ``gap``. A beginning that would divide
    rows of one time moves to the nearest that does not.

    Args:
        times: (rows,) numbers or dates, in any order.
        folds: k, at least 1.
        gap: rows left out between training and held-out rows, where a target looks ahead.
        held_out: h; None: n // (k + 1).

    Returns:
        Positions in order of time, the earliest first; the first fold has the shortest training window.

    Raises:
        DataError: a fold would be empty.

    >>> [(train.tolist(), held_out.tolist()) for train, held_out in time_series(np.array([4, 1, 2, 3]), folds=2)]
    [([1, 2], [3]), ([1, 2, 3], [0])]
    """
    n = len(times)
    size = n // (folds + 1) if held_out is None else held_out
    if folds < 1 or size < 1 or n - folds * size - gap < 1:
        raise DataError(f"{n} rows are too few for {folds} folds in time of {size} rows each with a gap of {gap}")
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    edges = [int(begins[np.abs(begins - start).argmin()]) for start in range(n - folds * size, n, size)] + [n]
    pairs = [(order[: max(0, start - gap)], order[start:stop]) for start, stop in itertools.pairwise(edges)]
    for number, (train, judged) in enumerate(pairs, start=1):
        if not len(train) or not len(judged):
            raise DataError(f"fold {number} of {folds} would be empty: many rows have the same time; use fewer folds")
    return pairs


def folds_of(
    keys: SplitKeys, folds: int, seed: int, *, repeat: int = 0, gap: int = 0, among: np.ndarray | None = None
) -> list[Fold]:
    """The folds that fit the rows: by time, else by group, else stratified by class, else plain.

    Args:
        keys: what the rows must respect.
        folds: k.
        seed: the recipe's seed.
        repeat: which repetition; each divides anew. Time has only one.
        gap: see `time_series`.
        among: positions to divide; None for all.

    Raises:
        DataError: too few rows, groups or times; a repetition of folds in time; a gap without time.
    """
    if repeat and keys.times is not None:
        raise DataError("folds in time cannot be repeated: there is one past; leave repeats at 1")
    if gap and keys.times is None:
        raise DataError("a gap has a meaning only with split: {by: time, ...}")
    among = np.arange(keys.rows) if among is None else np.sort(among)
    classes = None if keys.classes is None else keys.classes[among]
    own = seeding.derive(seed, "folds", repeat)
    if keys.times is not None:
        pairs = time_series(keys.times[among], folds, gap)
    elif keys.groups is not None:
        pairs = group_k_fold(keys.groups[among], folds, own, classes)
    elif classes is not None:
        pairs = stratified_k_fold(classes, folds, own)
    else:
        pairs = k_fold(len(among), folds, own)
    return [(among[train], among[held_out]) for train, held_out in pairs]


def _rotate(parts: list[np.ndarray], everything: np.ndarray) -> list[Fold]:
    return [(np.setdiff1d(everything, part, assume_unique=True), part) for part in parts]


def _equal(folds: int, rows: int) -> list[float]:
    if not 2 <= folds <= rows:
        raise DataError(f"{folds} folds of {rows} rows: take at least 2 and at most one for each row")
    return [1 / folds] * folds


def _names(folds: int) -> list[str]:
    return [f"fold {number + 1}" for number in range(folds)]
