"""What a registered loss is: a mean, together with the weight that it is the mean of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.core.errors import RecipeError
from lamplighter.core.recipe import Component

Takes = Literal["classes", "binary", "numbers", "regions", "teacher"]
"""What a loss compares; a task offers the losses that fit its targets.

* ``classes``: logits (N, K, ...) with class indices (N, ...), or with probabilities (N, K, ...)
* ``binary``: logits with 0, 1 or what lies between, of the same shape
* ``numbers``: numbers with numbers of the same shape
* ``regions``: logits (N, K, ...) with the class of each position of an image (N, ...)
* ``teacher``: logits (N, K) with the logits of a teacher (N, K)
"""

_WHAT = {
    "classes": "scores one class out of several",
    "binary": "scores yes or no, each answer by itself",
    "numbers": "scores numbers",
    "regions": "scores the overlap of regions in images",
    "teacher": "compares with the logits of a teacher",
}


class Criterion(nn.Module):
    """A loss as tasks use it: called with (prediction, target) it gives ``value, weight``.

    ``value`` is sum(terms) / sum(weights) and ``weight`` is sum(weights), both from `terms`. Whoever averages values
    by their weights, over micro-batches or ranks, gets exactly the value of all rows together. When nothing counts the
    value is NaN, the mean of nothing; the weight is 0 and every gradient is 0. 16-bit inputs are computed in float32.

    Attributes:
        takes: what the loss compares, see `Takes`.
    """

    takes: ClassVar[Takes]

    def __init__(self) -> None:  # nn.Module's own takes anything, which is no schema
        super().__init__()

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """What each row (or entry) adds to the sum, and what it adds to the divisor; both 0 where nothing counts."""
        raise NotImplementedError

    def forward(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return mean_of(*self.terms(prediction, target))

    def resolved(self) -> dict[str, Any]:
        """Constructor parameters that were decided from the data, as a resolved recipe says them."""
        return {}


def build(component: Component, takes: Sequence[Takes], task: str, facts: Mapping[str, Any] | None = None) -> Criterion:
    """The criterion that a recipe's ``task.loss`` names.

    Args:
        component: name and parameters.
        takes: what fits the task's targets.
        task: the task's name, for the error.
        facts: for parameters marked `FromData`.

    Raises:
        RecipeError: the loss compares something else; names those that fit.
    """
    criterion = registry.build("loss", component.name, component.params, facts)
    if not isinstance(criterion, Criterion):
        raise RecipeError([f"task.loss: '{component.name}' is no subclass of lamplighter.losses.criterion.Criterion"])
    if criterion.takes not in takes:
        fitting = [name for name in registry.names("loss") if getattr(registry.get("loss", name), "takes", "") in takes]
        raise RecipeError(
            [f"task.loss: '{component.name}' {_WHAT[criterion.takes]}; {task} takes {', '.join(fitting)}"]
        )
    return criterion


def mean_of(terms: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """sum(terms) / sum(weights), and sum(weights).

    When the weights are all 0 the mean is NaN and its gradient 0, not NaN.

    Args:
        terms: weighted losses, any shape.
        weights: what each counts, at least 0; booleans count as 0 and 1.

    >>> mean_of(torch.tensor([6.0, 1.0]), torch.tensor([3.0, 1.0]))
    (tensor(1.7500), tensor(4.))
    """
    total = weights.sum()
    counts = total > 0
    mean = terms.sum() / torch.where(counts, total, 1)
    return torch.where(counts, mean, torch.nan), total


def difference(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """prediction - target where the target is a number, else 0; and where that is.

    Args:
        prediction: any shape.
        target: same shape; NaN marks a blank.

    >>> difference(torch.tensor([3.0, 5.0]), torch.tensor([1.0, float("nan")]))
    (tensor([2., 0.]), tensor([ True, False]))
    """
    prediction, target = full_precision(prediction), full_precision(target)
    present = ~torch.isnan(target)
    # Before anything that multiplies: NaN * 0 in the backward pass would still be NaN.
    return torch.where(present, prediction - target, 0), present


def full_precision(tensor: Tensor) -> Tensor:
    """float32 instead of bfloat16 or float16; other types stay."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
