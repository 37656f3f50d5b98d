"""MixUp: straight lines between training rows."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lamplighter.core.registry import FromData
from lamplighter.train.callbacks import mixing
from lamplighter.train.callbacks.mixed import Mixing, for_each


class Mixup(Mixing):
    """Trains on x = l x_i + (1 - l) x_j with the target y = l y_i + (1 - l) y_j, l from Beta(alpha, alpha).

    Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization". Between two training rows the network is asked to
    answer in between, so it learns wrong labels by heart less easily. Rows are paired by a random permutation of those
    that have a target (and of those that have none). Works on images (bytes become float32), tables and vectors, for
    classes and for numbers. Networks trained so tend to understate their confidence; the temperature that a run fits
    on the validation rows puts that right.

    Args:
        num_classes: width of the target rows; filled in from the data.
        alpha: strength: 0.2 leaves most rows nearly as they are, 1 draws l uniformly.
        p: chance that a batch (with ``per_sample`` a row) is mixed.
        per_sample: draw l for each row instead of once for the batch.
        until: share of the training after which nothing is mixed any more, for instance 0.9.
    """

    def __init__(
        self,
        num_classes: Annotated[int | None, FromData] = None,
        alpha: Annotated[float, Field(gt=0)] = 0.2,
        p: Annotated[float, Field(ge=0, le=1)] = 1.0,
        per_sample: bool = False,
        until: Annotated[float, Field(gt=0, le=1)] = 1.0,
    ) -> None:
        super().__init__("mixup", num_classes, p, per_sample, until, images=False)
        self.alpha = alpha

    def mix(self, x: Tensor, partner: Tensor, draws: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        share = self.shares(self.alpha, x, draws, generator)
        return mixing.blend(x, partner, for_each(share, x)), share
