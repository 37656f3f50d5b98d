"""What sources of images with masks share: the signature, rows in memory or decoded again, and counts of pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.preprocessing.fit import padded
from lamplighter.data.preprocessing.pipeline import Pipeline
from lamplighter.data.source import Batch

Size = tuple[int, int]
Pair = tuple[np.ndarray, np.ndarray]
"""An image (channels, height, width) and its mask (height, width) int16, -1 where a pixel does not count."""


def mask_signature(labels: Sequence[str], size: Size | None, channels: int, bits: int, example: Size) -> Signature:
    """One image in, a class for each of its pixels out.

    Args:
        labels: names of the classes.
        size: (height, width) that images are brought to; None: they keep their own.
        channels: of the images.
        bits: 8 or 16.
        example: the size to speak of where images keep their own.
    """
    height, width = size or (None, None)
    return Signature(
        inputs=(Column(name="image", kind="image", shape=(*(size or example), channels)),),
        tensors=(
            TensorSpec(
                name="x",
                dtype="uint8" if bits == 8 else "float32",
                shape=(channels, height, width),
                pad=None if size else 0,
            ),
        ),
        targets=(Column(name="mask", kind="mask", categories=tuple(labels)),),
    )


def mask_preprocessing(size: Size | None, channels: int, bits: int) -> Pipeline:
    """Decode; resize or fill up to one size; stack."""
    fit = {"name": "fit-images", **({"height": size[0], "width": size[1]} if size else {})}
    return Pipeline([{"name": "decode-image", "channels": channels, "bits": bits}, fit])


class MaskRows:
    """One split of images with masks.

    A batch holds ``x`` (N, C, H, W) and ``y`` (N, H, W) int64. Where sizes differ, smaller images are filled up with
    zeros and their masks with -1, and ``original_size`` (N, 2) says how large each one is.

    Args:
        pairs: of the whole data set: two tensors, or a list of pairs, or a function that decodes one by its position.
        positions: which of them belong to the split.
        varying: whether sizes differ.

    Attributes:
        y: (images, height, width) int16 of the whole data set, where it is one tensor.
    """

    def __init__(
        self,
        pairs: tuple[torch.Tensor, torch.Tensor] | Sequence[Pair] | Callable[[int], Pair],
        positions: np.ndarray,
        varying: bool = False,
    ) -> None:
        self.positions = torch.from_numpy(positions.astype(np.int64))
        self.varying = varying
        self.decodes = callable(pairs)
        self._whole = pairs if isinstance(pairs, tuple) and isinstance(pairs[0], torch.Tensor) else None
        self._pairs: Any = pairs
        if self._whole is not None:
            self.y = self._whole[1]

    def __len__(self) -> int:
        return len(self.positions)

    def fetch(self, indices: np.ndarray) -> Batch:
        """Rows at positions within the split."""
        chosen = self.positions.index_select(0, torch.from_numpy(np.require(indices, np.int64, ["C", "W"])))
        if self._whole is not None:
            x, y = self._whole
            return {"x": x.index_select(0, chosen), "y": y.index_select(0, chosen).long()}
        pairs = [self._pairs(k) if self.decodes else self._pairs[k] for k in chosen.tolist()]
        images = padded([image.transpose(1, 2, 0) for image, _ in pairs])
        masks = padded([mask for _, mask in pairs], fill=-1)
        batch = {
            "x": torch.from_numpy(np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))),
            "y": torch.from_numpy(np.stack(masks).astype(np.int64)),
        }
        if self.varying:
            batch["original_size"] = torch.tensor([mask.shape for _, mask in pairs], dtype=torch.int64)
        return batch


def pixels_of_classes(mask: np.ndarray, classes: int) -> np.ndarray:
    """(classes,) how many pixels of a mask each class has."""
    return np.bincount(mask[mask >= 0].ravel(), minlength=classes)
