"""Metrics of counted pixels against scikit-learn on the pixels themselves, and intervals that draw whole images."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

from lamplighter.core.errors import DataError
from lamplighter.core.seeding import generator
from lamplighter.metrics import segmentation
from lamplighter.metrics.base import inputs
from lamplighter.metrics.masks import mask_confusion
from lamplighter.metrics.of_masks import Dice, DiceOfImages, MeanIoU


def masks(images: int = 12, classes: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted and true masks, and the counts of each image; -1 does not count."""
    rng = generator(0, "masks")
    y = rng.integers(-1, classes, (images, 6, 7))
    predicted = np.where(rng.random(y.shape) < 0.7, np.maximum(y, 0), rng.integers(0, classes, y.shape))
    counts = np.stack([mask_confusion(p, t, classes, ignore_index=-1) for p, t in zip(predicted, y)])
    return predicted, y, counts


def test_metrics_equal_scikit_learns_on_all_pixels() -> None:
    predicted, y, counts = masks()
    p, t = predicted[y >= 0], y[y >= 0]
    found = segmentation.metrics(counts, np.arange(12.0))
    assert found["mean_iou"] == pytest.approx(jaccard_score(t, p, average="macro"), rel=1e-12)
    assert found["dice"] == pytest.approx(f1_score(t, p, average="macro"), rel=1e-12)
    assert found["pixel_accuracy"] == pytest.approx(accuracy_score(t, p), rel=1e-12)
    assert found["loss"] == pytest.approx(66 / len(t), rel=1e-12)
    assert "loss" not in segmentation.metrics(counts)


def test_classes_equal_scikit_learns() -> None:
    predicted, y, counts = masks()
    wanted = jaccard_score(y[y >= 0], predicted[y >= 0], average=None)
    scores = segmentation.of_classes(counts)
    assert [score.value for score in scores if score] == pytest.approx(wanted.tolist(), rel=1e-12)
    assert all(score.low < score.value < score.high for score in scores if score)


def test_a_class_that_is_nowhere_has_no_score_and_no_say() -> None:
    _, _, counts = masks()
    wider = np.zeros((12, 5, 5), np.int64)
    wider[:, :4, :4] = counts
    assert segmentation.of_classes(wider)[4] is None
    assert segmentation.metrics(wider) == segmentation.metrics(counts)


def test_intervals_know_that_the_pixels_of_an_image_belong_together() -> None:
    """Each image wholly right or wholly wrong: the interval is that of 40 images, not that of 40,000 pixels."""
    right, wrong = np.diag([500, 500]), np.array([[0, 500], [500, 0]])
    counts = np.stack([right] * 30 + [wrong] * 10)
    score = segmentation.scores(counts)["pixel_accuracy"]
    assert score.value == 0.75 and score.n == 40
    width = 2 * 1.96 * (0.75 * 0.25 / 40) ** 0.5
    assert score.high - score.low == pytest.approx(width, rel=0.15)


@pytest.mark.parametrize(
    "metric", [MeanIoU(), MeanIoU(without=(0,)), Dice(), DiceOfImages(), DiceOfImages(without=(1,))]
)
def test_registered_metrics_say_the_same_of_counts_and_of_masks(metric: MeanIoU | Dice | DiceOfImages) -> None:
    predicted, y, counts = masks()
    metric.ignore_index = -1
    of_masks = metric(predicted, y)
    given = inputs("masks", {"confusion": counts, "log_loss": np.zeros(12)})
    metric.ignore_index = None
    assert metric(*given) == of_masks and metric.compute(*given) == pytest.approx(of_masks, rel=1e-12)


def test_counts_of_an_ignored_class_are_left_out() -> None:
    predicted, y, counts = masks()
    seen = np.where(y == 2, -1, y)
    wanted = np.stack([mask_confusion(p, t, 4, ignore_index=-1) for p, t in zip(predicted, seen)]).sum(axis=0)
    np.testing.assert_array_equal(MeanIoU(ignore_index=2).count(counts, counts.sum(axis=2)), wanted)


def test_nothing_that_counts_is_an_error() -> None:
    with pytest.raises(DataError, match="no pixel has a class"):
        segmentation.metrics(np.zeros((2, 3, 3), np.int64))
