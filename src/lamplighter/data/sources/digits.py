"""scikit-learn's handwritten digits: 1,797 real scans, installed with the package, nothing to download."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from lamplighter.core.registry import FromData
from lamplighter.data import splits as splitting
from lamplighter.data.sources._images import GrayArrays
from lamplighter.data.splits import Splits


class Digits(GrayArrays):
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
        images = np.rint(ink * 255 / 16).astype(np.uint8).reshape(-1, 8, 8)
        chosen = splits if splits is not None else splitting.stratified(labels, split, seed)
        super().__init__(images, labels.astype(np.int64), [str(digit) for digit in range(10)], chosen)
