"""Divisions in whole groups and in whole stretches of time: nothing is cut through, shares are met."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.core.seeding import generator
from lamplighter.data.cuts import _cost, cut_groups, cut_times

RATIOS = (0.7, 0.15, 0.15)


def _table(parts: list[np.ndarray], y: np.ndarray) -> np.ndarray:
    return np.stack([np.bincount(y[part], minlength=int(y.max()) + 1) for part in parts]).astype(float)


def test_imports_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import lamplighter.data.folds, lamplighter.data.selection"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("seed", range(10))
def test_no_group_on_two_sides_and_every_row_once(seed: int) -> None:
    rng = generator(seed, "test")
    groups = rng.choice(40, size=500, p=rng.dirichlet(np.ones(40)))
    y = rng.integers(0, 3, 500)
    parts = cut_groups(groups, RATIOS, seed, y)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(500))
    for one, other in itertools.combinations(parts, 2):
        assert not set(groups[one]) & set(groups[other])


def test_shares_and_classes_are_as_near_as_the_best_of_all_divisions() -> None:
    """Against exhaustive search over all 3^G divisions of up to 7 groups."""
    worse = 0
    for seed in range(40):
        rng = generator(seed, "brute force")
        sizes = rng.integers(1, 40, size=int(rng.integers(3, 8)))
        groups = np.repeat(np.arange(len(sizes)), sizes)
        y = rng.integers(0, 2, len(groups))
        of_group = np.zeros((len(sizes), 2))
        np.add.at(of_group, (groups, y), 1)
        target = np.outer(RATIOS, of_group.sum(axis=0))
        best = min(
            _cost(np.stack([of_group[np.array(division) == part].sum(axis=0) for part in range(3)]), target).sum()
            for division in itertools.product(range(3), repeat=len(sizes))
        )
        found = _cost(_table(cut_groups(groups, RATIOS, seed, y), y), target).sum()
        assert found >= best - 1e-9
        worse += found > best + 1e-9
    assert worse <= 1


def test_many_groups_meet_shares_and_class_shares_closely() -> None:
    rng = generator(0, "many")
    groups = rng.integers(0, 300, 6000)
    y = (rng.random(6000) < 0.1).astype(np.int64)
    parts = cut_groups(groups, RATIOS, 0, y)
    table = _table(parts, y)
    np.testing.assert_allclose(table.sum(axis=1) / 6000, RATIOS, atol=0.003)
    np.testing.assert_allclose(table[:, 1] / table.sum(axis=1), y.mean(), atol=0.004)
    blind = _table(cut_groups(groups, RATIOS, 0), y)  # sizes alone leave the rare class where it falls
    assert np.ptp(blind[:, 1] / blind.sum(axis=1)) > np.ptp(table[:, 1] / table.sum(axis=1))


def test_the_seed_decides_which_groups() -> None:
    groups = np.repeat(np.arange(30), 4)
    one, same, other = (cut_groups(groups, RATIOS, seed)[2] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    tested = [set(groups[cut_groups(groups, RATIOS, seed)[2]]) for seed in range(40)]
    assert set.union(*tested) == set(range(30))  # no group is always spared


def test_a_giant_group_stays_whole_and_no_part_is_empty() -> None:
    groups = np.array([0] * 90 + [1] * 5 + [2] * 5)
    parts = cut_groups(groups, RATIOS, 0)
    assert sorted(len(part) for part in parts) == [5, 5, 90]
    for groups_ in (np.repeat([0, 1, 2], 10), np.repeat(np.arange(4), [50, 50, 1, 1])):
        assert all(len(part) for part in cut_groups(groups_, (0.9, 0.05, 0.05), 0))
    with pytest.raises(DataError, match="2 groups are too few for the parts train, val, test"):
        cut_groups(groups[:95], RATIOS, 0)


@pytest.mark.parametrize("seed", range(10))
def test_time_goes_forward_and_ties_stay_together(seed: int) -> None:
    times = generator(seed, "test").integers(0, 60, 400)
    parts = cut_times(times, RATIOS)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(400))
    assert times[parts[0]].max() < times[parts[1]].min()
    assert times[parts[1]].max() < times[parts[2]].min()
    largest = np.bincount(times).max()
    assert all(abs(len(part) - share * 400) <= largest for part, share in zip(parts, RATIOS))


def test_distinct_times_give_the_exact_shares_and_dates_do_too() -> None:
    order = generator(0, "shuffle").permutation(100)
    parts = cut_times(order, (0.7, 0.2, 0.1))
    assert [sorted(order[part]) for part in parts] == [list(range(70)), list(range(70, 90)), list(range(90, 100))]
    dates = np.datetime64("2024-01-01") + order.astype("timedelta64[D]")
    assert all(np.array_equal(a, b) for a, b in zip(parts, cut_times(dates, (0.7, 0.2, 0.1))))


def test_too_few_times() -> None:
    with pytest.raises(DataError, match="2 different times are too few"):
        cut_times(np.array([1, 1, 2, 2]), RATIOS)
    assert [part.tolist() for part in cut_times(np.array([9, 9, 9, 9, 8, 7]), RATIOS)] == [[5], [4], [0, 1, 2, 3]]
