"""Splits: disjoint, whole, stratified, and safe on disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.core.seeding import generator
from lamplighter.data import splits as splitting
from lamplighter.data.splits import Splits, stratified

RATIOS = (0.7, 0.2, 0.1)


def test_splits_import_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import lamplighter.data.splits"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("seed", range(20))
def test_every_row_once_and_every_class_within_one_of_its_share(seed: int) -> None:
    rng = generator(seed, "test")
    classes = int(rng.integers(2, 30))
    y = rng.choice(classes, size=int(rng.integers(60, 900)), p=rng.dirichlet(np.ones(classes)))
    ratios = tuple(rng.dirichlet((6, 2, 2)).tolist())
    splits = stratified(y, ratios, seed)
    assert np.array_equal(np.sort(np.concatenate([splits.train, splits.val, splits.test])), np.arange(len(y)))
    for label in np.unique(y):
        for name, ratio in zip(splitting.NAMES, ratios):
            share = ratio * (y == label).sum()
            assert abs((y[splits[name]] == label).sum() - share) < 1 + 1e-9


def test_totals_stay_balanced_over_many_small_classes() -> None:
    # rounding each class alone would send all 200 left-over rows to the same split
    splits = stratified(np.repeat(np.arange(100), 7), (0.8, 0.1, 0.1), seed=0)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [560, 70, 70]


def test_the_seed_decides_and_rows_are_mixed() -> None:
    y = np.repeat([0, 1], 500)
    assert stratified(y, RATIOS, 3) == stratified(y, RATIOS, 3)
    assert stratified(y, RATIOS, 3) != stratified(y, RATIOS, 4)
    test = stratified(y, RATIOS, 3).test
    assert test.max() > 900 and test.min() < 100


@pytest.mark.parametrize("y", [None, np.linspace(0, 1, 100)])
def test_numbers_and_nothing_are_plainly_shuffled(y: np.ndarray | None) -> None:
    splits = stratified(y, RATIOS, 0, rows=100)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [70, 20, 10]
    assert not np.array_equal(splits.train, np.arange(70))


def test_text_and_boolean_classes() -> None:
    assert np.array_equal(
        stratified(np.array(["a", "b"] * 50), RATIOS, 0).train,
        stratified(np.array([False, True] * 50), RATIOS, 0).train,
    )


@pytest.mark.parametrize("ratios", [(0.8, 0.2, 0.0), (0.5, 0.3, 0.3), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)])
def test_ratios_that_do_not_fit(ratios: tuple[float, float, float]) -> None:
    with pytest.raises(DataError, match="sum to 1"):
        stratified(np.zeros(100, int), ratios, 0)


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_an_empty_split_is_refused(rows: int) -> None:
    with pytest.raises(DataError, match=f"{rows} rows are too few.*split would be empty"):
        stratified(np.zeros(rows, int), (0.8, 0.1, 0.1), 0)


def test_cut_makes_two_parts() -> None:
    train, val = splitting.cut(np.repeat(np.arange(10), 6000), (11 / 12, 1 / 12), 0, names=("train", "val"))
    assert np.array_equal(np.bincount(np.repeat(np.arange(10), 6000)[val]), [500] * 10)
    assert len(train) == 55000


def test_save_and_load(tmp_path: Path) -> None:
    splits = stratified(np.repeat([0, 1, 2], 40), RATIOS, 0)
    splits.save(tmp_path / "splits.npz")
    again = Splits.load(tmp_path / "splits.npz")
    assert again == splits and again.digest == splits.digest and hash(again) == hash(splits)
    assert np.array_equal(again.val, splits.val) and again.val.dtype == np.int64
    assert [path.name for path in tmp_path.iterdir()] == ["splits.npz"]


def test_the_digest_is_the_same_everywhere() -> None:
    splits = Splits(np.array([0, 3]), np.array([1]), np.array([2]))
    assert splits.digest == "5e198701644544f0df87f84e19e76e73803109f3dfeab93292d412b24b496c45"
    # moving a row from one split to another changes it, and so does the order
    assert splits.digest != Splits(np.array([0]), np.array([3, 1]), np.array([2])).digest
    assert splits.digest != Splits(np.array([3, 0]), np.array([1]), np.array([2])).digest


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    splits = stratified(np.repeat([0, 1], 40), RATIOS, 0)
    path = tmp_path / "splits.npz"
    moved = splits.train[:-1], np.append(splits.val, splits.train[-1]), splits.test
    np.savez(path, train=moved[0], val=moved[1], test=moved[2], digest=np.array(splits.digest))
    with pytest.raises(DataError, match="digest does not match"):
        Splits.load(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY", b"text", b"\x80\x04K\x01."])
def test_a_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "splits.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"splits\.npz: not a splits file"):
        Splits.load(tmp_path / "splits.npz")


def test_cut_short_missing_and_incomplete_files(tmp_path: Path) -> None:
    path = tmp_path / "splits.npz"
    with pytest.raises(DataError, match="no such file"):
        Splits.load(path)
    stratified(np.repeat([0, 1], 400), RATIOS, 0).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="not a splits file"):
        Splits.load(path)
    np.savez(path, train=np.arange(3))
    with pytest.raises(DataError, match="not a splits file"):
        Splits.load(path)


def test_rows_in_two_places_negative_rows_and_other_types_are_refused() -> None:
    one, two = np.array([0]), np.array([1])
    with pytest.raises(DataError, match="row 1 stands in more than one place"):
        Splits(one, two, two)
    with pytest.raises(DataError, match="negative"):
        Splits(one, two, np.array([-2]))
    with pytest.raises(DataError, match="the test split must be a non-empty list"):
        Splits(one, two, np.array([], dtype=np.int64))
    with pytest.raises(DataError, match="float64"):
        Splits(one, np.array([0.5]), two)
    with pytest.raises(DataError, match="unknown split 'valid'"):
        Splits(one, two, np.array([2]))["valid"]


def test_a_split_cannot_be_changed_in_place() -> None:
    mine = np.array([0, 1])
    splits = Splits(mine, np.array([2]), np.array([3]))
    mine[0] = 9
    assert splits.train[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        splits.train[0] = 5


def test_data_that_grew_or_shrank_is_refused() -> None:
    splits = stratified(np.zeros(50, int), RATIOS, 0)
    splits.check(50)
    for rows in (49, 51):
        with pytest.raises(DataError, match=f"covers 50 rows .* the data has {rows} now"):
            splits.check(rows)


def test_unused_rows_belong_to_no_split_but_to_the_file(tmp_path: Path) -> None:
    splits = Splits(np.array([0, 3]), np.array([1]), np.array([2]), np.array([5, 4]))
    splits.check(6)
    with pytest.raises(DataError, match=r"covers 6 rows \(up to row 5\), the data has 4 now"):
        splits.check(4)
    splits.save(tmp_path / "splits.npz")
    again = Splits.load(tmp_path / "splits.npz")
    assert again == splits and again.unused.tolist() == [5, 4]
    without = Splits(splits.train, splits.val, splits.test)
    assert splits.digest != without.digest
    assert splits.digest != Splits(splits.train, splits.val, splits.test, np.array([4, 5])).digest
    with pytest.raises(DataError, match="row 2 stands in more than one place"):
        Splits(splits.train, splits.val, splits.test, np.array([2]))
    with pytest.raises(DataError, match="the unused split must be"):
        Splits(splits.train, splits.val, splits.test, np.array([0.5]))


def test_files_from_before_rows_could_be_unused_are_read(tmp_path: Path) -> None:
    splits = Splits(np.array([0, 3]), np.array([1]), np.array([2]))
    path = tmp_path / "splits.npz"
    np.savez(path, train=splits.train, val=splits.val, test=splits.test, digest=np.array(splits.digest))
    assert Splits.load(path) == splits
