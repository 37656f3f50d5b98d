"""Dice and Tversky losses: how badly predicted and true regions of an image overlap."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from lamplighter.core.errors import LamplighterError
from lamplighter.losses.criterion import Criterion, Takes, full_precision, mean_of
from lamplighter.losses.cross_entropy import probabilities


def tversky(
    logits_NK: Tensor,
    target_N: Tensor,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 1.0,
    ignore_index: int = -1,
) -> Tensor:
    """Mean over images of 1 - mean_k (TP_k + smooth) / (TP_k + alpha FP_k + beta FN_k + smooth) (Salehi et al. 2017).

    TP, FP and FN are sums over the positions of one image of p t, p (1 - t) and (1 - p) t, with p the predicted
    probability and t 1 at the true class. Averaging over images, not over the batch as one, keeps the loss of a
    batch the mean of the losses of its parts. A beta above alpha punishes missed positions more than invented ones.

    Args:
        logits_NK: (N, K, ...), softmax over K; or (N, 1, ...), the sigmoid of one class against the background.
        target_N: class indices (N, ...), for one channel 0 or 1.
        alpha: weight of false positives.
        beta: weight of false negatives.
        smooth: added above and below, so that a class which is neither there nor predicted has loss 0.
        ignore_index: class index of positions that do not count; negative ones never do. An image without any other
            does not count.

    Returns:
        Scalar; NaN with gradient 0 when nothing counts.

    Raises:
        LamplighterError: a target that does not have the shape of the logits without K.

    >>> tversky(torch.tensor([[[4.0, -4.0]]]), torch.tensor([[1, 1]]), smooth=0.0)  # one of two positions found
    tensor(0.3333)
    """
    return mean_of(*tversky_terms(logits_NK, target_N, alpha, beta, smooth, ignore_index))[0]


def dice(logits_NK: Tensor, target_N: Tensor, smooth: float = 1.0, ignore_index: int = -1) -> Tensor:
    """`tversky` with alpha = beta = 1/2: 1 - (2 TP + smooth) / (sum p + sum t + smooth) (Milletari et al. 2016).

    Args:
        logits_NK: (N, K, ...), or (N, 1, ...).
        target_N: class indices (N, ...).
        smooth: added above and below.
        ignore_index: class index of positions that do not count; negative ones never do.

    Returns:
        Scalar; NaN with gradient 0 when nothing counts.

    >>> dice(torch.zeros(1, 1, 4), torch.tensor([[1, 1, 0, 0]]), smooth=0.0)
    tensor(0.5000)
    """
    return mean_of(*tversky_terms(logits_NK, target_N, 0.5, 0.5, smooth / 2, ignore_index))[0]


def tversky_terms(
    logits_NK: Tensor, target_N: Tensor, alpha: float, beta: float, smooth: float, ignore_index: int = -1
) -> tuple[Tensor, Tensor]:
    """`tversky` before it is summed: the loss of each image, and whether it counts, (N,) both."""
    logits_NK = full_precision(logits_NK)
    if logits_NK.dim() < 2 or target_N.shape != (logits_NK.shape[0], *logits_NK.shape[2:]):
        raise LamplighterError(
            f"targets of shape {tuple(target_N.shape)} do not fit logits of shape {tuple(logits_NK.shape)}: "
            "(N, ...) and (N, classes, ...)"
        )
    valid_N1 = ((target_N != ignore_index) & (target_N >= 0)).unsqueeze(1)
    if logits_NK.shape[1] == 1:
        p_NK, t_NK = logits_NK.sigmoid(), target_N.unsqueeze(1).to(logits_NK.dtype) * valid_N1
    else:
        p_NK, t_NK = logits_NK.softmax(dim=1), probabilities(target_N, logits_NK, ignore_index)
    p_NK = (p_NK * valid_N1).flatten(2)
    t_NK = t_NK.flatten(2)
    hit_NK = (p_NK * t_NK).sum(dim=2)
    false_NK, missed_NK = p_NK.sum(dim=2) - hit_NK, t_NK.sum(dim=2) - hit_NK
    overlap_NK = (hit_NK + smooth) / (hit_NK + alpha * false_NK + beta * missed_NK + smooth)
    present_N = valid_N1.flatten(1).any(dim=1)
    return torch.where(present_N, 1 - overlap_NK.mean(dim=1), 0), present_N


class Tversky(Criterion):
    """Tversky loss: Dice with a weight of its own for invented and for missed positions.

    Args:
        alpha: weight of false positives.
        beta: weight of false negatives.
        smooth: added above and below the fraction; more than 0, for a class that is not there.
        ignore_index: class index of positions that do not count; negative ones never do.
    """

    takes: ClassVar[Takes] = "regions"

    def __init__(
        self,
        alpha: Annotated[float, Field(ge=0)] = 0.3,
        beta: Annotated[float, Field(ge=0)] = 0.7,
        smooth: Annotated[float, Field(gt=0)] = 1.0,
        ignore_index: int = -1,
    ) -> None:
        super().__init__()
        self.alpha, self.beta, self.smooth, self.ignore_index = alpha, beta, smooth, ignore_index

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return tversky_terms(prediction, target, self.alpha, self.beta, self.smooth, self.ignore_index)


class Dice(Criterion):
    """Dice loss: one minus the overlap of predicted and true regions. For segmentation with small regions.

    Args:
        smooth: added above and below the fraction; more than 0, for a class that is not there.
        ignore_index: class index of positions that do not count; negative ones never do.
    """

    takes: ClassVar[Takes] = "regions"

    def __init__(self, smooth: Annotated[float, Field(gt=0)] = 1.0, ignore_index: int = -1) -> None:
        super().__init__()
        self.smooth, self.ignore_index = smooth, ignore_index

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return tversky_terms(prediction, target, 0.5, 0.5, self.smooth / 2, self.ignore_index)
