"""CutMix: a rectangle of another image pasted into each."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lamplighter.core.registry import FromData
from lamplighter.train.callbacks import mixing
from lamplighter.train.callbacks.mixed import Mixing


class CutMix(Mixing):
    """Trains on images with a rectangle of another one, and on both labels in proportion to their pixels.

    Yun et al. 2019, "CutMix". For l from Beta(alpha, alpha) the rectangle has the sides sqrt(1 - l) H and
    sqrt(1 - l) W around a random pixel. At the border it is clipped, hence the labels' weights are counted from the
    pixels that were really replaced (at alpha 1 about a third, not half). Pixels keep their type.

    Args:
        num_classes: width of the target rows; filled in from the data.
        alpha: 1 draws l uniformly; larger values make rectangles of about half the image.
        p: chance that a batch (with ``per_sample`` an image) is mixed.
        per_sample: draw a rectangle for each image instead of one for the batch.
        until: share of the training after which nothing is mixed any more, for instance 0.9.
    """

    def __init__(
        self,
        num_classes: Annotated[int | None, FromData] = None,
        alpha: Annotated[float, Field(gt=0)] = 1.0,
        p: Annotated[float, Field(ge=0, le=1)] = 1.0,
        per_sample: bool = False,
        until: Annotated[float, Field(gt=0, le=1)] = 1.0,
    ) -> None:
        super().__init__("cutmix", num_classes, p, per_sample, until, images=True)
        self.alpha = alpha

    def mix(self, x: Tensor, partner: Tensor, draws: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        height, width = x.shape[-2:]
        keep = mixing.boxes(self.shares(self.alpha, x, draws, generator), (height, width), generator)
        return mixing.paste(x, partner, keep), keep.mean(dim=(1, 2, 3))
