"""Registered metrics of masks: overlap over all pixels of the data set, or image by image."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamplighter.metrics import masks
from lamplighter.metrics.base import ConfusionMetric, MeanMetric


class _Overlap(ConfusionMetric):
    """Keeps which pixels and which classes count."""

    bounds = (0.0, 1.0)
    takes = "masks"

    def __init__(self, ignore_index: int | None, without: tuple[int, ...]) -> None:
        self.ignore_index = ignore_index
        self.without = without

    def count(self, predicted: Any, y: Any) -> np.ndarray:
        predicted, y = np.asarray(predicted), np.asarray(y)
        if masks.are_counts(predicted, y):
            return masks.without_ignored(predicted, self.ignore_index).sum(axis=0)
        known = masks.known_classes(predicted, y, self.ignore_index) if predicted.shape == y.shape else 0
        return masks.mask_confusion(predicted, y, known, self.ignore_index)

    def left_out(self, confusion: np.ndarray) -> tuple[int, ...]:
        """Those of ``without`` that have come up."""
        return tuple(k for k in self.without if k < len(confusion))


class MeanIoU(_Overlap):
    """Intersection over union, averaged over classes, see `lamplighter.metrics.masks.mean_iou`.

    Args:
        ignore_index: pixels whose true class is this do not count.
        without: classes to leave out of the mean, such as the background.
    """

    key = "mean_iou"

    def __init__(self, ignore_index: int | None = None, without: tuple[int, ...] = ()) -> None:
        super().__init__(ignore_index, without)

    def of(self, confusion: np.ndarray) -> float:
        return masks.mean_iou(confusion, self.left_out(confusion))


class Dice(_Overlap):
    """Dice coefficient, averaged over classes, see `lamplighter.metrics.masks.mean_dice`.

    Args:
        ignore_index: pixels whose true class is this do not count.
        without: classes to leave out of the mean, such as the background.
    """

    key = "dice"

    def __init__(self, ignore_index: int | None = None, without: tuple[int, ...] = ()) -> None:
        super().__init__(ignore_index, without)

    def of(self, confusion: np.ndarray) -> float:
        return masks.mean_dice(confusion, self.left_out(confusion))


class DiceOfImages(MeanMetric):
    """Dice coefficient of each image, averaged over images, see `lamplighter.metrics.masks.dice_of_images`.

    Args:
        ignore_index: pixels whose true class is this do not count.
        without: classes to leave out, such as the background.
    """

    bounds = (0.0, 1.0)
    takes = "masks"
    key = "dice_of_images"

    def __init__(self, ignore_index: int | None = None, without: tuple[int, ...] = ()) -> None:
        self.ignore_index = ignore_index
        self.without = without

    def rows(self, predicted: Any, y: Any) -> np.ndarray:
        return masks.dice_of_images(predicted, y, self.ignore_index, self.without)
