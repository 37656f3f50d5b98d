"""Quantile loss: the answer is a chosen quantile of what may come, not its mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from lamplighter.core.errors import LamplighterError, RecipeError
from lamplighter.losses.criterion import Criterion, Takes, difference, mean_of


def quantile_loss(prediction: Tensor, target: Tensor, quantiles: Sequence[float] = (0.5,)) -> Tensor:
    """Pinball loss: mean of q max(y - a, 0) + (1 - q) max(a - y, 0) for answers a (Koenker and Bassett 1978).

    It is smallest when a share q of the targets lies below the answer: q = 0.9 answers what is exceeded once in ten
    times, q = 0.5 the median (the loss is then half the mean absolute error).

    Args:
        prediction: of the target's shape for one quantile; with a last dimension more for several, one answer each.
        target: any shape; NaN marks a blank. When all are blank the loss is NaN and its gradient 0.
        quantiles: each between 0 and 1. The loss of several is the mean of theirs.

    Returns:
        Scalar.

    Raises:
        LamplighterError: the shapes do not fit.

    >>> quantile_loss(torch.tensor([1.0, 1.0]), torch.tensor([3.0, 0.0]), [0.9])
    tensor(0.9500)
    """
    return mean_of(*quantile_terms(prediction, target, quantiles))[0]


def quantile_terms(prediction: Tensor, target: Tensor, quantiles: Sequence[float] = (0.5,)) -> tuple[Tensor, Tensor]:
    """`quantile_loss` before it is summed: the loss of each answer, and whether it counts."""
    if len(quantiles) > 1 or prediction.dim() > target.dim():
        target = target.unsqueeze(-1).expand(*target.shape, len(quantiles))
    if prediction.shape != target.shape:
        raise LamplighterError(
            f"predictions of shape {tuple(prediction.shape)} do not fit: {len(quantiles)} quantiles of these targets "
            f"have shape {tuple(target.shape)}"
        )
    above, present = difference(prediction, target)
    q = torch.tensor(quantiles, dtype=above.dtype, device=above.device)
    return q * (-above).relu() + (1 - q) * above.relu(), present


class Quantile(Criterion):
    """Pinball loss: answers a quantile, such as the median or what is exceeded once in ten times.

    Args:
        quantiles: each between 0 and 1; regression takes one.

    Raises:
        RecipeError: no quantile.
    """

    takes: ClassVar[Takes] = "numbers"

    def __init__(
        self,
        quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5,),
    ) -> None:
        super().__init__()
        if not quantiles:
            raise RecipeError(["quantiles: give at least one"])
        self.quantiles = quantiles

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return quantile_terms(prediction, target, self.quantiles)
