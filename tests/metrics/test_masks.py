"""IoU and Dice against scikit-learn, pixel by pixel."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as oracle

from lamplighter.core.errors import DataError
from lamplighter.metrics.masks import (
    dice,
    dice_of_images,
    iou,
    known_classes,
    mask_confusion,
    mean_dice,
    mean_iou,
)


def _masks(k: int, seed: int, shape: tuple[int, ...] = (4, 16, 16)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([k, seed])
    y = rng.integers(k, size=shape)
    return np.where(rng.random(shape) < 0.6, y, rng.integers(k, size=shape)), y


@pytest.mark.parametrize("k", [2, 3, 9])
@pytest.mark.parametrize("ignored", [None, 255, 0])
@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn_over_all_counted_pixels(k: int, ignored: int | None, seed: int) -> None:
    predicted, y = _masks(k, seed)
    if ignored == 255:
        y[:, :3] = 255
    matrix = mask_confusion(predicted, y, k, ignored)
    counted = y != (-7 if ignored is None else ignored)
    settings = {"labels": np.arange(k), "average": None, "zero_division": 0.0}
    theirs = oracle.jaccard_score(y[counted], predicted[counted], **settings)
    np.testing.assert_allclose(iou(matrix), theirs, rtol=0, atol=1e-12)
    f1 = oracle.f1_score(y[counted], predicted[counted], **settings)
    np.testing.assert_allclose(dice(matrix), f1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(dice(matrix), 2 * theirs / (1 + theirs), rtol=0, atol=1e-12)
    macro = oracle.jaccard_score(y[counted], predicted[counted], average="macro", zero_division=0.0)
    assert mean_iou(matrix) == pytest.approx(macro, abs=1e-12)


def test_background_left_out() -> None:
    predicted, y = _masks(4, 0)
    matrix = mask_confusion(predicted, y, 4)
    theirs = oracle.jaccard_score(y.ravel(), predicted.ravel(), labels=[1, 2, 3], average="macro")
    assert mean_iou(matrix, without=(0,)) == pytest.approx(theirs, abs=1e-12)
    f1 = oracle.f1_score(y.ravel(), predicted.ravel(), labels=[1, 2, 3], average="macro")
    assert mean_dice(matrix, without=(0,)) == pytest.approx(f1, abs=1e-12)


def test_adding_the_matrices_of_batches_is_exact() -> None:
    predicted, y = _masks(5, 1)
    parts = [mask_confusion(predicted[i : i + 1], y[i : i + 1], 5) for i in range(4)]
    assert np.array_equal(sum(parts), mask_confusion(predicted, y, 5))


def test_images_count_alike_however_large_their_objects_are() -> None:
    y = np.zeros((2, 10, 10), dtype=int)
    y[0, :, :] = 1  # one large object, found
    y[1, 0, 0] = 1  # one small object, missed
    predicted = y.copy()
    predicted[1, 0, 0] = 0
    each = dice_of_images(predicted, y, without=(0,))
    assert each.tolist() == [1.0, 0.0]
    assert mean_dice(mask_confusion(predicted, y, 2), without=(0,)) > 0.99


@pytest.mark.parametrize("seed", range(3))
def test_each_image_equals_scikit_learn(seed: int) -> None:
    predicted, y = _masks(3, seed)
    for found, own, true in zip(dice_of_images(predicted, y, without=(0,)), predicted, y):
        theirs = oracle.f1_score(true.ravel(), own.ravel(), labels=[1, 2], average="macro", zero_division=0.0)
        assert found == pytest.approx(theirs, abs=1e-12)


def test_ignored_pixels_and_their_index_are_no_class() -> None:
    predicted, y = np.array([[0, 9, 1]]), np.array([[0, 255, 1]])
    assert known_classes(predicted, y, 255) == 2
    assert mean_iou(mask_confusion(predicted, y, 2, 255)) == 1.0
    assert dice_of_images(predicted, y, 255).tolist() == [1.0]
    with pytest.raises(DataError, match=r"target 255 is outside 0\.\.1"):
        mask_confusion(np.array([[0, 1, 1]]), y, 2)


def test_where_not_defined() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nothing = mask_confusion(np.empty((0, 4, 4), int), np.empty((0, 4, 4), int), 3)
        assert iou(nothing).tolist() == dice(nothing).tolist() == [0, 0, 0]
        assert np.isnan([mean_iou(nothing), mean_dice(nothing)]).all()
        all_ignored = np.full((2, 3), 255)
        assert np.isnan(mean_iou(mask_confusion(np.zeros((2, 3), int), all_ignored, 2, 255)))
        assert known_classes(np.zeros((2, 3), int), all_ignored, 255) == 0
        assert dice_of_images(np.zeros((2, 3), int), all_ignored, 255).tolist() == [1.0, 1.0]
        only_background = np.diag([10, 0])
        assert np.isnan(mean_dice(only_background, without=(0,))) and mean_dice(only_background) == 1.0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="do not fit"):
        mask_confusion(np.zeros((1, 2, 2), int), np.zeros((1, 2, 3), int), 2)
    with pytest.raises(DataError, match="do not fit"):
        dice_of_images(np.zeros((1, 2, 2), int), np.zeros((1, 2, 3), int))
    with pytest.raises(DataError, match="class to leave out 7 is outside"):
        mean_iou(np.eye(2), without=(7,))
