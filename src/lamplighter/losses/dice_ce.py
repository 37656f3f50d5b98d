"""Cross-entropy and Dice loss together: pixels one by one, and regions as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from lamplighter.core.registry import FromData
from lamplighter.losses.bce import binary_cross_entropy_terms
from lamplighter.losses.criterion import Criterion, Takes, full_precision, mean_of
from lamplighter.losses.cross_entropy import per_class
from lamplighter.losses.dice import tversky_terms


def dice_ce(
    logits_NK: Tensor,
    target_N: Tensor,
    dice: float = 1.0,
    smooth: float = 1.0,
    ignore_index: int = -1,
    class_weights_K: Tensor | None = None,
) -> Tensor:
    """Mean over images of cross-entropy + dice * Dice loss (the sum nnU-Net trains with, Isensee et al. 2021).

    Cross-entropy pulls at each wrong pixel however wrong it already is (its gradient there is 1, where that of a
    rounded sigmoid is 0); Dice keeps small regions from being outvoted by the background. Both are computed image by
    image: cross-entropy is the mean over the pixels of an image that count.

    Args:
        logits_NK: (N, K, ...), softmax over K; or (N, 1, ...), the sigmoid of one class against the background, whose
            cross-entropy is the binary one.
        target_N: class indices (N, ...), for one channel 0 or 1.
        dice: weight of the Dice loss.
        smooth: of the Dice loss, see `lamplighter.losses.dice.dice`.
        ignore_index: class index of pixels that do not count; negative ones never do. An image without any other
            does not count.
        class_weights_K: how much a pixel of each class counts in the cross-entropy, which is divided by their sum.

    Returns:
        Scalar; NaN with gradient 0 when nothing counts.

    >>> logits = torch.tensor([[[200.0, -200.0, 20.0]]], requires_grad=True)  # sure, and wrong three times
    >>> dice_ce(logits, torch.tensor([[0, 1, 0]]), dice=0.0).backward()
    >>> (3 * logits.grad).flatten().tolist()
    [1.0, -1.0, 1.0]
    """
    return mean_of(*dice_ce_terms(logits_NK, target_N, dice, smooth, ignore_index, class_weights_K))[0]


def dice_ce_terms(
    logits_NK: Tensor,
    target_N: Tensor,
    dice: float,
    smooth: float = 1.0,
    ignore_index: int = -1,
    class_weights_K: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`dice_ce` before it is averaged: the loss of each image, and whether it counts, (N,) both."""
    overlap_N, present_N = tversky_terms(logits_NK, target_N, 0.5, 0.5, smooth / 2, ignore_index)
    terms_N, weights_N = _cross_entropy(full_precision(logits_NK), target_N, ignore_index, class_weights_K)
    total_N = weights_N.flatten(1).sum(dim=1)
    surprise_N = terms_N.flatten(1).sum(dim=1) / torch.where(total_N > 0, total_N, 1)
    return torch.where(present_N, surprise_N + dice * overlap_N, 0), present_N


def _cross_entropy(
    logits_NK: Tensor, target_N: Tensor, ignore_index: int, class_weights_K: Tensor | None
) -> tuple[Tensor, Tensor]:
    """What each pixel adds to the sum, and what it adds to the divisor, (N, ...) both."""
    valid_N = (target_N != ignore_index) & (target_N >= 0)
    inside_N = target_N * valid_N
    weight_N = valid_N.to(logits_NK.dtype)
    if class_weights_K is not None:
        weight_N = weight_N * class_weights_K.to(logits_NK)[inside_N]
    if logits_NK.shape[1] == 1:
        answers_N = torch.where(valid_N, inside_N.to(logits_NK.dtype), torch.nan)
        return weight_N * binary_cross_entropy_terms(logits_NK[:, 0], answers_N)[0], weight_N
    return weight_N * F.cross_entropy(logits_NK, inside_N, reduction="none"), weight_N


class DiceCE(Criterion):
    """Cross-entropy and Dice loss added up: the usual loss for segmentation.

    Args:
        dice: weight of the Dice loss beside the cross-entropy.
        smooth: added above and below the fraction of the Dice loss; more than 0, for a class that is not there.
        ignore_index: class index of positions that do not count; negative ones never do.
        class_weights: of the cross-entropy, one for each class, from the task.
    """

    takes: ClassVar[Takes] = "regions"
    class_weights: Tensor | None

    def __init__(
        self,
        dice: Annotated[float, Field(gt=0)] = 1.0,
        smooth: Annotated[float, Field(gt=0)] = 1.0,
        ignore_index: int = -1,
        class_weights: Annotated[Sequence[float] | None, FromData] = None,
    ) -> None:
        super().__init__()
        self.dice, self.smooth, self.ignore_index = dice, smooth, ignore_index
        self.register_buffer("class_weights", per_class(class_weights), persistent=False)

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return dice_ce_terms(prediction, target, self.dice, self.smooth, self.ignore_index, self.class_weights)
