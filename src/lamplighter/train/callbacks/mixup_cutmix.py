"""MixUp or CutMix, as chance decides."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lamplighter.core.registry import FromData
from lamplighter.train.callbacks import mixing
from lamplighter.train.callbacks.mixed import Mixing, for_each


class MixupCutMix(Mixing):
    """Applies `CutMix` to some batches and `Mixup` to the others, as most recipes for image networks do.

    Both are keep * x_i + (1 - keep) * x_j, with a number or with a mask of zeros and ones for ``keep``. Images become
    float32.

    Args:
        num_classes: width of the target rows; filled in from the data.
        cutmix_share: chance of CutMix; the rest is MixUp.
        mixup_alpha: alpha of MixUp.
        cutmix_alpha: alpha of CutMix.
        p: chance that a batch (with ``per_sample`` an image) is mixed at all.
        per_sample: decide and draw for each image instead of once for the batch.
        until: share of the training after which nothing is mixed any more, for instance 0.9.
    """

    def __init__(
        self,
        num_classes: Annotated[int | None, FromData] = None,
        cutmix_share: Annotated[float, Field(ge=0, le=1)] = 0.5,
        mixup_alpha: Annotated[float, Field(gt=0)] = 0.2,
        cutmix_alpha: Annotated[float, Field(gt=0)] = 1.0,
        p: Annotated[float, Field(ge=0, le=1)] = 1.0,
        per_sample: bool = False,
        until: Annotated[float, Field(gt=0, le=1)] = 1.0,
    ) -> None:
        super().__init__("mixup-cutmix", num_classes, p, per_sample, until, images=True)
        self.cutmix_share = cutmix_share
        self.mixup_alpha = mixup_alpha
        self.cutmix_alpha = cutmix_alpha

    def mix(self, x: Tensor, partner: Tensor, draws: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        height, width = x.shape[-2:]
        cuts = torch.rand(draws, generator=generator, device=generator.device).to(x.device) < self.cutmix_share
        number = for_each(self.shares(self.mixup_alpha, x, draws, generator), x)
        mask = mixing.boxes(self.shares(self.cutmix_alpha, x, draws, generator), (height, width), generator)
        keep = torch.where(for_each(cuts, x), mask, number)
        return mixing.blend(x, partner, keep), keep.mean(dim=(1, 2, 3))
