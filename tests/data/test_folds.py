"""Folds against scikit-learn: index for index where there is one answer, by their invariants where there are many."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import model_selection

from lamplighter.core.errors import DataError
from lamplighter.core.seeding import generator
from lamplighter.data import folds
from lamplighter.data.split_rules import SplitKeys


def _covered(pairs: list[folds.Fold], rows: int) -> None:
    np.testing.assert_array_equal(np.sort(np.concatenate([held_out for _, held_out in pairs])), np.arange(rows))
    for train, held_out in pairs:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, held_out])), np.arange(rows))


@pytest.mark.parametrize(("rows", "k"), [(10, 2), (10, 3), (97, 5), (100, 10), (7, 7)])
def test_plain_folds_have_the_sizes_of_sklearn(rows: int, k: int) -> None:
    pairs = folds.k_fold(rows, k, seed=0)
    _covered(pairs, rows)
    reference = [len(held_out) for _, held_out in model_selection.KFold(k).split(np.zeros(rows))]
    assert sorted(len(held_out) for _, held_out in pairs) == sorted(reference)
    assert rows <= k or not np.array_equal(pairs[0][1], np.arange(len(pairs[0][1])))


@pytest.mark.parametrize("seed", range(10))
def test_stratified_folds_hold_every_class_within_one_row(seed: int) -> None:
    rng = generator(seed, "test")
    y = rng.choice(5, size=int(rng.integers(60, 400)), p=rng.dirichlet(np.ones(5)))
    pairs = folds.stratified_k_fold(y, 5, seed)
    _covered(pairs, len(y))
    for label in np.unique(y):
        counts = [(y[held_out] == label).sum() for _, held_out in pairs]
        assert max(counts) - min(counts) <= 1
    sizes = [len(held_out) for _, held_out in pairs]
    assert max(sizes) - min(sizes) <= 1  # scikit-learn lets these drift apart by up to one row a class


@pytest.mark.parametrize("seed", range(5))
def test_group_folds_are_as_even_as_sklearn_and_divide_no_group(seed: int) -> None:
    rng = generator(seed, "test")
    groups = rng.choice(30, size=400, p=rng.dirichlet(np.ones(30) * 2))
    pairs = folds.group_k_fold(groups, 5, seed)
    _covered(pairs, 400)
    for train, held_out in pairs:
        assert not set(groups[train]) & set(groups[held_out])
    reference = [len(held_out) for _, held_out in model_selection.GroupKFold(5).split(groups, groups=groups)]
    sizes = [len(held_out) for _, held_out in pairs]
    assert max(sizes) - min(sizes) <= max(reference) - min(reference)


def test_group_folds_keep_the_class_mix_better_than_groups_alone() -> None:
    rng = generator(0, "mix")
    groups = rng.integers(0, 60, 1200)
    y = (rng.random(60)[groups] < 0.25).astype(np.int64)  # all rows of a group have one class
    mixed, blind = folds.group_k_fold(groups, 5, 0, y), folds.group_k_fold(groups, 5, 0)
    spread = [np.std([y[held_out].mean() for _, held_out in pairs]) for pairs in (mixed, blind)]
    assert spread[0] < 0.5 * spread[1]


@pytest.mark.parametrize("rows", [11, 40, 100])
@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("gap", [0, 2])
@pytest.mark.parametrize("held_out", [None, 1])
def test_time_folds_equal_sklearn_index_for_index(rows: int, k: int, gap: int, held_out: int | None) -> None:
    reference = model_selection.TimeSeriesSplit(k, gap=gap, test_size=held_out)
    try:
        expected = list(reference.split(np.zeros(rows)))
    except ValueError:
        pytest.skip("too few rows for scikit-learn too")
    for (train, judged), (train_, judged_) in zip(folds.time_series(np.arange(rows), k, gap, held_out), expected):
        np.testing.assert_array_equal(train, train_)
        np.testing.assert_array_equal(judged, judged_)


def test_time_folds_follow_time_and_not_the_order_of_the_file() -> None:
    times = generator(0, "shuffle").permutation(60)
    for train, held_out in folds.time_series(times, 4, gap=3):
        assert times[held_out].min() - times[train].max() == 4
    straight = folds.time_series(np.arange(60), 4)
    assert all(np.array_equal(times[a], b) for (_, a), (_, b) in zip(folds.time_series(times, 4), straight))


@pytest.mark.parametrize("seed", range(5))
def test_time_folds_divide_no_moment(seed: int) -> None:
    times = generator(seed, "ties").integers(0, 25, 200)
    pairs = folds.time_series(times, 4)
    for train, held_out in pairs:
        assert times[train].max() < times[held_out].min()
    assert pairs[-1][1].max() < 200 and times[pairs[-1][1]].max() == times.max()


def test_too_few_rows_or_times_are_refused() -> None:
    with pytest.raises(DataError, match="4 rows are too few for 4 folds in time"):
        folds.time_series(np.arange(4), 4)
    with pytest.raises(DataError, match="many rows have the same time"):
        folds.time_series(np.array([0] * 10 + [1] * 10), 4)
    with pytest.raises(DataError, match="1 folds of 10 rows"):
        folds.k_fold(10, 1, 0)
    with pytest.raises(DataError, match="11 folds of 10 rows"):
        folds.k_fold(10, 11, 0)


def test_the_kind_of_fold_follows_from_the_rows() -> None:
    rng = generator(0, "keys")
    y, groups, times = rng.integers(0, 2, 120), rng.integers(0, 20, 120), rng.permutation(120)
    among = np.arange(20, 120)
    for keys in (SplitKeys(120), SplitKeys(120, y), SplitKeys(120, y, groups=groups)):
        pairs = folds.folds_of(keys, 4, seed=0, among=among)
        np.testing.assert_array_equal(np.sort(np.concatenate([held_out for _, held_out in pairs])), among)
        again = folds.folds_of(keys, 4, seed=0, repeat=1, among=among)
        assert not np.array_equal(pairs[0][1], again[0][1])
        if keys.groups is not None:
            assert not any(set(groups[train]) & set(groups[held_out]) for train, held_out in pairs)
        elif keys.classes is not None:
            counts = [y[held_out].sum() for _, held_out in pairs]
            assert max(counts) - min(counts) <= 1
    timed = SplitKeys(120, y, times=times)
    for train, held_out in folds.folds_of(timed, 3, seed=0, gap=5, among=among):
        assert times[train].max() < times[held_out].min()
        assert {*train, *held_out} <= set(among)
    with pytest.raises(DataError, match="cannot be repeated"):
        folds.folds_of(timed, 3, seed=0, repeat=1)
    with pytest.raises(DataError, match="gap has a meaning only"):
        folds.folds_of(SplitKeys(120, y), 3, seed=0, gap=1)
