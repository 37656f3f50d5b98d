"""Focal loss: cross-entropy in which rows that are already right count little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from lamplighter.core.errors import RecipeError
from lamplighter.core.registry import FromData
from lamplighter.losses.bce import binary_cross_entropy_terms
from lamplighter.losses.criterion import Criterion, Takes, full_precision, mean_of
from lamplighter.losses.cross_entropy import along_classes, per_class, probabilities


def focal(
    logits_NK: Tensor,
    target_N: Tensor,
    gamma: float = 2.0,
    alpha: float | Sequence[float] = 1.0,
    ignore_index: int = -1,
    class_weights_K: Tensor | None = None,
) -> Tensor:
    """Mean of -alpha_y (1 - p_y)^gamma log p_y, p_y being the probability of the true class (Lin et al. 2017).

    With gamma 0 it is cross-entropy; with gamma 2 a row whose true class has 0.9 counts a hundredth. Each row has its
    own factor (a mean loss put through the formula is another number), and p comes from log-softmax. Probabilities as
    targets weigh the terms of their classes.

    Args:
        logits_NK: unnormalised scores (N, K), or (N, K, ...).
        target_N: class indices (N, ...), or probabilities (N, K, ...); a row of zeros has no target.
        gamma: how much less easy rows count, at least 0.
        alpha: a factor of the loss, one number or one for each class. The paper's alpha for two classes is
            ``(1 - a, a)``; the mean is over rows, as in the paper.
        ignore_index: class index of rows that do not count.
        class_weights_K: further weights, by whose sum the loss is divided, as in `cross_entropy`.

    Returns:
        Scalar; NaN with gradient 0 when no row counts.

    >>> logits = torch.tensor([[2.0, 1.0, 0.1]])
    >>> focal(logits, torch.tensor([0])), focal(logits, torch.tensor([0]), alpha=0.25)
    (tensor(0.0485), tensor(0.0121))
    """
    alphas = torch.as_tensor(alpha, dtype=torch.float64, device="cpu")
    return mean_of(*focal_terms(logits_NK, target_N, gamma, alphas, ignore_index, class_weights_K))[0]


def focal_terms(
    logits_NK: Tensor,
    target_N: Tensor,
    gamma: float,
    alpha: Tensor | None = None,
    ignore_index: int = -1,
    class_weights_K: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`focal` before it is summed: what each row adds to the sum and to the divisor, (N, ...) both."""
    log_p_NK = F.log_softmax(full_precision(logits_NK), dim=1)
    target_NK = probabilities(target_N, log_p_NK, ignore_index)
    if class_weights_K is not None:
        target_NK = target_NK * along_classes(class_weights_K, log_p_NK)
    log_p_NK = log_p_NK.masked_fill(target_NK == 0, 0)  # a class of -inf that is no target adds 0, not NaN
    terms_NK = -target_NK * _easiness(log_p_NK, gamma) * log_p_NK
    if alpha is not None:
        terms_NK = terms_NK * along_classes(alpha, log_p_NK)
    return terms_NK.sum(dim=1), target_NK.sum(dim=1)


def binary_focal(logits: Tensor, target: Tensor, gamma: float = 2.0, alpha: float | None = None) -> Tensor:
    """Mean of alpha_t (1 - p_t)^gamma times the binary cross-entropy; p_t is the probability of the true answer.

    Args:
        logits: any shape.
        target: same shape, from 0 to 1; NaN marks a blank.
        gamma: how much less easy entries count, at least 0.
        alpha: factor of a yes; a no has 1 - alpha. None: both 1.

    Returns:
        Scalar; NaN with gradient 0 when no entry counts.

    >>> binary_focal(torch.tensor([2.0, -1.0]), torch.tensor([1.0, 0.0]), alpha=0.25)
    tensor(0.0087)
    """
    return mean_of(*binary_focal_terms(logits, target, gamma, alpha))[0]


def binary_focal_terms(
    logits: Tensor, target: Tensor, gamma: float, alpha: float | None = None
) -> tuple[Tensor, Tensor]:
    """`binary_focal` before it is summed: the loss of each entry, and whether it counts."""
    terms, present = binary_cross_entropy_terms(logits, target)
    logits = torch.where(present, full_precision(logits), 0)
    target = torch.where(present, full_precision(target), 0)
    log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
    # 1 - p_t: exactly the probability of the other answer, or for targets in between the mean of both.
    wrong = target * log_not_p.exp() + (1 - target) * log_p.exp()
    terms = terms * _power(wrong, gamma)
    if alpha is not None:
        terms = terms * (alpha * target + (1 - alpha) * (1 - target))
    return terms, present


def _easiness(log_p: Tensor, gamma: float) -> Tensor:
    return _power(-torch.expm1(log_p), gamma)


def _power(wrong: Tensor, gamma: float) -> Tensor:
    """wrong^gamma; for gamma below 1 its slope at 0 is infinite, so rows that are right to the last digit get none."""
    return wrong.clamp(min=torch.finfo(wrong.dtype).eps) ** gamma


class Focal(Criterion):
    """Focal loss: cross-entropy in which rows that are already right count little. For many easy and few hard rows.

    Args:
        gamma: how much less easy rows count; 0 is cross-entropy.
        alpha: a factor of the loss, one number or one for each class.
        ignore_index: class index of rows that do not count; negative indices never do.
        class_weights: one for each class, from the task.
        num_classes: how many classes there are, from the task.

    Raises:
        RecipeError: alpha has not one number for each class.
    """

    takes: ClassVar[Takes] = "classes"
    alpha: Tensor
    class_weights: Tensor | None

    def __init__(
        self,
        gamma: Annotated[float, Field(ge=0)] = 2.0,
        alpha: Annotated[float, Field(gt=0)] | tuple[Annotated[float, Field(gt=0)], ...] = 1.0,
        ignore_index: int = -1,
        class_weights: Annotated[Sequence[float] | None, FromData] = None,
        num_classes: Annotated[int | None, FromData] = None,
    ) -> None:
        super().__init__()
        if isinstance(alpha, tuple) and num_classes is not None and len(alpha) != num_classes:
            raise RecipeError([f"task.loss.alpha: {len(alpha)} numbers for {num_classes} classes"])
        self.gamma = gamma
        self.ignore_index = ignore_index
        self.register_buffer("alpha", torch.as_tensor(alpha, dtype=torch.get_default_dtype()), persistent=False)
        self.register_buffer("class_weights", per_class(class_weights), persistent=False)

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return focal_terms(prediction, target, self.gamma, self.alpha, self.ignore_index, self.class_weights)


class BinaryFocal(Criterion):
    """Focal loss for yes or no, each answer by itself.

    In classification it serves two classes, the second being the yes, as binary cross-entropy does.

    Args:
        gamma: how much less easy rows count; 0 is binary cross-entropy.
        alpha: factor of a yes; a no has 1 - alpha. null: both 1.
    """

    takes: ClassVar[Takes] = "binary"

    def __init__(
        self,
        gamma: Annotated[float, Field(ge=0)] = 2.0,
        alpha: Annotated[float | None, Field(gt=0, lt=1)] = None,
    ) -> None:
        super().__init__()
        self.gamma, self.alpha = gamma, alpha

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return binary_focal_terms(prediction, target, self.gamma, self.alpha)
