"""scikit-learn's handwritten digits: 1,797 real scans, installed with the package, nothing to download."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch

from lamplighter.core.registry import FromData
from lamplighter.data import splits as splitting
from lamplighter.data.rows import TensorRows
from lamplighter.data.sources._images import Format, Statistics, channel_statistics
from lamplighter.data.splits import Splits


class Digits:
    """Gray images of 8 x 8 pixels in ten classes (UCI "Optical Recognition of Handwritten Digits", test part).

    Pixels count ink from 0 to 16 in the original; here ``round(ink * 255 / 16)``, uint8.

    Args:
        split: shares of train, val and test.
        seed: of the split.
        splits: a persisted split to use again.
    """

    def __init__(
        self,
        split: tuple[float, float, float] = (0.7, 0.15, 0.15),
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        from sklearn.datasets import load_digits

        ink, labels = load_digits(return_X_y=True)
        self._images = np.rint(ink * 255 / 16).astype(np.uint8).reshape(-1, 8, 8)
        layout = Format(size=(8, 8), channels=1, bits=8)
        self.signature = layout.signature([str(digit) for digit in range(10)])
        self.preprocessing = layout.preprocessing()
        self.splits = splits if splits is not None else splitting.stratified(labels, split, seed)
        self.splits.check(len(labels))
        x = torch.from_numpy(self.preprocessing(list(self._images))["x"])
        self._tensors = {"x": x, "y": torch.from_numpy(labels.astype(np.int64))}

    def split(self, name: str) -> TensorRows:
        """Rows of ``"train"``, ``"val"`` or ``"test"``."""
        return TensorRows(self._tensors, self.splits[name])

    def raw(self, name: str, indices: np.ndarray) -> list[Any]:
        """Arrays (8, 8), uint8."""
        return list(self._images[self.splits[name][indices]])

    def resolved(self) -> dict[str, Any]:
        """Nothing is decided from the data."""
        return {}

    def statistics(self) -> Statistics:
        """Mean and deviation of the training pixels, in raw units."""
        return {"x": channel_statistics(self._tensors["x"], self.splits.train)}
