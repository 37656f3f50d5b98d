"""Divides rows in whole groups, or in whole stretches of time, as near to given shares as can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lamplighter.core import seeding
from lamplighter.core.errors import DataError
from lamplighter.data.splits import NAMES, check_ratios

_RESTARTS = 10  # random beginnings of the search for few groups
_FEW = 60  # groups up to which pairs are exchanged too
_WORK = 6 * 10**7  # numbers computed at most when many groups are moved


def cut_times(times: np.ndarray, ratios: Sequence[float], names: Sequence[str] = NAMES) -> list[np.ndarray]:
    """Consecutive stretches of time, each as near to its share as whole times allow.

    Args:
        times: (rows,) numbers, dates or ranks; rows of one time stay together.
        ratios: share of each stretch, the earliest first.
        names: what to call them in errors.

    Raises:
        DataError: fewer different times than stretches.

    >>> [part.tolist() for part in cut_times(np.array([3, 1, 2, 2, 5, 4]), (0.5, 0.25, 0.25))]
    [[1, 2, 3], [0], [4, 5]]
    """
    check_ratios(ratios, names)
    codes = np.unique(times, return_inverse=True)[1].reshape(-1)
    until = np.cumsum(np.bincount(codes)) if len(codes) else codes  # rows up to and with each time
    if len(until) < len(names):
        raise DataError(
            f"{len(until)} different times are too few for the parts {', '.join(names)}: rows of one time stay together"
        )
    part = np.zeros(len(codes), dtype=np.int64)
    first = 0
    for number, share in enumerate(np.cumsum(ratios)[:-1]):
        open_ends = np.arange(first, len(until) - (len(names) - 1 - number))
        end = int(open_ends[np.abs(until[open_ends] - share * len(codes)).argmin()])
        part[codes > end] = number + 1
        first = end + 1
    return [np.flatnonzero(part == number) for number in range(len(names))]


def cut_groups(
    groups: np.ndarray,
    ratios: Sequence[float],
    seed: int,
    y: np.ndarray | None = None,
    names: Sequence[str] = NAMES,
) -> list[np.ndarray]:
    """Divide rows without dividing a group, sizes and classes as near to their shares as can be found.

    Groups are dealt out at random, then moved (and, when there are few, exchanged) as long as that lowers the sum over
    parts of the squared relative errors of the size and of the class counts. Finding the best division is NP-hard; of
    up to 60 groups the best of ten beginnings is taken.

    Args:
        groups: (rows,) any values.
        ratios: share of each part.
        seed: the recipe's seed.
        y: (rows,) class of each row; None or floating point numbers: only sizes count.
        names: what to call the parts in errors.

    Raises:
        DataError: fewer groups than parts.
    """
    check_ratios(ratios, names)
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    count = int(codes.max(initial=-1)) + 1
    if count < len(names):
        raise DataError(
            f"{count} groups are too few for the parts {', '.join(names)}: rows of one group stay together; "
            "choose another column"
        )
    if y is None or np.issubdtype(y.dtype, np.floating):
        y = np.zeros_like(codes)
    classes = np.unique(y, return_inverse=True)[1].reshape(-1)
    table = np.zeros((count, int(classes.max()) + 1))
    np.add.at(table, (codes, classes), 1)
    target = np.outer(ratios, table.sum(axis=0))
    rng = seeding.generator(seed, "split groups")
    found = [_divide(table, target, rng) for _ in range(_RESTARTS if count <= _FEW else 1)]
    part_of_group = min(found, key=lambda pair: pair[0])[1]
    part = part_of_group[codes]
    return [np.flatnonzero(part == number) for number in range(len(names))]


def _divide(table: np.ndarray, target: np.ndarray, rng: np.random.Generator) -> tuple[float, np.ndarray]:
    """One local optimum: its cost, and the part of each group.

    Args:
        table: (G, C) rows of each group and class.
        target: (P, C) rows that each part should have.
        rng: of the beginning.
    """
    g, p = len(table), len(target)
    order = rng.permutation(g)
    middle = np.cumsum(table.sum(axis=1)[order]) - table.sum(axis=1)[order] / 2
    part = np.empty(g, dtype=np.int64)
    part[order] = np.searchsorted(np.cumsum(target.sum(axis=1))[:-1], middle)
    have = np.stack([table[part == number].sum(axis=0) for number in range(p)])
    each = np.arange(g)
    for _ in range(max(20, min(1000, _WORK // (table.size * p)))):
        now = _cost(have, target)
        without = _cost(have[part] - table, target[part])
        gain = np.stack([_cost(have[to] + table, target[to]) - now[to] for to in range(p)], axis=1)
        change = gain + (without - now[part])[:, None]
        change[each, part] = 0.0
        best = np.unravel_index(change.argmin(), change.shape)
        if change[best] < -1e-12:
            group, to = int(best[0]), int(best[1])
            have[part[group]] -= table[group]
            have[to] += table[group]
            part[group] = to
        elif g > _FEW or not _exchange(table, target, have, part):
            break
    return float(_cost(have, target).sum()), part


def _exchange(table: np.ndarray, target: np.ndarray, have: np.ndarray, part: np.ndarray) -> bool:
    """Exchange the two groups of different parts that gain most, in place; False when no pair gains."""
    difference = table[None] - table[:, None]  # (G, G, C): what the part of the first receives
    now = _cost(have, target)
    first = _cost(have[part][:, None] + difference, target[part][:, None]) - now[part][:, None]
    change = first + first.T
    change[part[:, None] == part[None]] = 0.0
    one, other = np.unravel_index(change.argmin(), change.shape)
    if change[one, other] >= -1e-12:
        return False
    have[part[one]] += table[other] - table[one]
    have[part[other]] += table[one] - table[other]
    part[one], part[other] = part[other], part[one]
    return True


def _cost(have: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Squared relative error of the size and, averaged, of the class counts; (..., C) -> (...,). Empty costs most."""
    size, wanted = have.sum(axis=-1), target.sum(axis=-1)
    of_size = ((size - wanted) / wanted) ** 2
    of_classes = (((have - target) / np.maximum(target, 1.0)) ** 2).mean(axis=-1)
    return np.asarray(of_size + of_classes + 1e6 * (size < 0.5))
