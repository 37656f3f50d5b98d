"""Cross-entropy for classification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from lamplighter.core.registry import FromData
from lamplighter.losses.criterion import Criterion, Takes, full_precision, mean_of


def cross_entropy(
    logits_NK: Tensor,
    target_N: Tensor,
    label_smoothing: float = 0.0,
    ignore_index: int = -1,
    class_weights_K: Tensor | None = None,
) -> Tensor:
    """Mean of -sum_k q_k log softmax(logits)_k over the rows that have a target.

    Without smoothing q is 1 at the target; with smoothing s it is 1 - s there plus s / K everywhere (Szegedy et al.
    2016, "Rethinking the Inception Architecture"), which keeps the network from growing its logits without end.
    Computed from log-softmax, so that logits of any size give a finite loss.

    With class weights each term is multiplied by w_k, and the sum is divided by the weights of the targets, not by
    the number of rows: a batch in which a heavy class is frequent has no larger loss for that. Probabilities as
    targets are treated alike, each row counting sum_k w_k q_k, so that rows of 0 and one 1 equal class indices.
    (torch divides by the number of rows there, which agrees only when all weights are 1.)

    Args:
        logits_NK: unnormalised scores (N, K), or (N, K, ...) with further dimensions as in images.
        target_N: class indices (N, ...), int64; or probabilities (N, K, ...), floating point, as mixup makes them. A
            row of zeros has no target.
        label_smoothing: s, at least 0 and less than 1.
        ignore_index: class index of rows that do not count. When no row counts the value is NaN, as torch's is, and
            the gradient 0.
        class_weights_K: w, at least 0; None for 1 everywhere.

    Returns:
        Scalar.

    >>> import torch
    >>> logits = torch.tensor([[2.0, 1.0, 0.1]])
    >>> cross_entropy(logits, torch.tensor([0])), cross_entropy(logits, torch.tensor([0]), label_smoothing=0.1)
    (tensor(0.4170), tensor(0.5137))
    >>> cross_entropy(logits, torch.tensor([[0.75, 0.25, 0.0]]))
    tensor(0.6670)
    """
    logits_NK = full_precision(logits_NK)
    if class_weights_K is not None or target_N.is_floating_point():
        return mean_of(*cross_entropy_terms(logits_NK, target_N, label_smoothing, ignore_index, class_weights_K))[0]
    log_p_NK = F.log_softmax(logits_NK, dim=1)
    hard = F.nll_loss(log_p_NK, target_N, ignore_index=ignore_index)
    if label_smoothing == 0:
        return hard
    valid_N = target_N != ignore_index
    uniform = -(log_p_NK.mean(dim=1) * valid_N).sum() / valid_N.sum().clamp(min=1)
    return (1 - label_smoothing) * hard + label_smoothing * uniform


def cross_entropy_terms(
    logits_NK: Tensor,
    target_N: Tensor,
    label_smoothing: float = 0.0,
    ignore_index: int = -1,
    class_weights_K: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`cross_entropy` before it is summed: what each row adds to the sum and to the divisor, (N, ...) both."""
    log_p_NK = F.log_softmax(full_precision(logits_NK), dim=1)
    target_NK = probabilities(target_N, log_p_NK, ignore_index)
    mass_N = target_NK.sum(dim=1)
    weighted_NK, weight_N = target_NK, mass_N
    if label_smoothing:
        spread = label_smoothing / log_p_NK.shape[1]
        weighted_NK = (1 - label_smoothing) * target_NK + spread * mass_N.unsqueeze(1)
    if class_weights_K is not None:
        weights_K = along_classes(class_weights_K, log_p_NK)
        weighted_NK, weight_N = weights_K * weighted_NK, (weights_K * target_NK).sum(dim=1)
    # A logit of -inf is a class that cannot be: where it is not the target either, 0 times infinity counts as 0.
    return -(weighted_NK * log_p_NK.masked_fill(weighted_NK == 0, 0)).sum(dim=1), weight_N


def probabilities(target_N: Tensor, like_NK: Tensor, ignore_index: int = -1) -> Tensor:
    """Targets as probabilities (N, K, ...): a 1 at each class index, zeros in rows that do not count.

    Args:
        target_N: class indices (N, ...), negative ones never count; or probabilities already, which stay.
        like_NK: gives the shape and the type.
        ignore_index: class index that does not count.

    >>> probabilities(torch.tensor([1, -1]), torch.zeros(2, 3))
    tensor([[0., 1., 0.],
            [0., 0., 0.]])
    """
    if target_N.is_floating_point():
        return target_N.to(like_NK.dtype)
    valid_N = (target_N != ignore_index) & (target_N >= 0)
    hot_NK = torch.zeros_like(like_NK)
    return hot_NK.scatter_(1, (target_N * valid_N).unsqueeze(1), valid_N.unsqueeze(1).to(like_NK.dtype))


def along_classes(values_K: Tensor, like_NK: Tensor) -> Tensor:
    """One number for each class, shaped to multiply (N, K, ...)."""
    return values_K.to(like_NK).reshape(-1, *[1] * (like_NK.dim() - 2))


def per_class(values: Sequence[float] | None) -> Tensor | None:
    """One number for each class as a tensor, or None."""
    return None if values is None else torch.as_tensor(values, dtype=torch.get_default_dtype())


class CrossEntropy(Criterion):
    """Cross-entropy: -log of the probability given to the true class. The usual loss for one class out of several.

    Args:
        label_smoothing: share of the target's probability spread over all classes.
        ignore_index: class index of rows that do not count; negative indices never do.
        class_weights: one for each class, from the task.
    """

    takes: ClassVar[Takes] = "classes"
    class_weights: Tensor | None

    def __init__(
        self,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        ignore_index: int = -1,
        class_weights: Annotated[Sequence[float] | None, FromData] = None,
    ) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.ignore_index = ignore_index
        self.register_buffer("class_weights", per_class(class_weights), persistent=False)

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return cross_entropy_terms(prediction, target, self.label_smoothing, self.ignore_index, self.class_weights)

    def forward(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if self.class_weights is not None or target.is_floating_point():
            return super().forward(prediction, target)
        if self.ignore_index >= 0:
            target = target.masked_fill(target < 0, self.ignore_index)
        if self.label_smoothing:
            value = cross_entropy(prediction, target, self.label_smoothing, self.ignore_index)
        else:  # the same kernels, without a way through Python between them
            value = F.cross_entropy(full_precision(prediction), target, ignore_index=self.ignore_index)
        return value, torch.count_nonzero(target != self.ignore_index)
