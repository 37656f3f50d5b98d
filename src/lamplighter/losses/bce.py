"""Binary cross-entropy: yes or no, each answer by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Discriminator, Field, Tag
from torch import Tensor
from torch.nn import functional as F

from lamplighter.core.errors import RecipeError
from lamplighter.core.registry import FromData
from lamplighter.losses.criterion import Criterion, Takes, full_precision, mean_of


def binary_cross_entropy(logits: Tensor, target: Tensor, pos_weight: Tensor | float | None = None) -> Tensor:
    """Mean of -(w y log p + (1 - y) log(1 - p)) with p = sigmoid(logits), over the entries that have a target.

    Takes logits, not probabilities: log-sigmoid is finite where the logarithm of a rounded 0 is not. With several
    columns each is a question of its own (multi-label), and one row may be yes to many.

    Args:
        logits: any shape.
        target: same shape, from 0 to 1; NaN marks a blank.
        pos_weight: w, how much a yes counts; one number, or one for each entry of the last dimension. The sum is
            divided by the number of entries, as in torch.

    Returns:
        Scalar; NaN with gradient 0 when no entry counts.

    >>> binary_cross_entropy(torch.tensor([2.0, -1.0, 3.0]), torch.tensor([1.0, 0.0, float("nan")]))
    tensor(0.2201)
    """
    return mean_of(*binary_cross_entropy_terms(logits, target, pos_weight))[0]


def binary_cross_entropy_terms(
    logits: Tensor, target: Tensor, pos_weight: Tensor | float | None = None
) -> tuple[Tensor, Tensor]:
    """`binary_cross_entropy` before it is summed: the loss of each entry, and whether it counts."""
    logits, target = full_precision(logits), full_precision(target)
    present = ~torch.isnan(target)
    logits, target = torch.where(present, logits, 0), torch.where(present, target, 0)
    log_p = F.logsigmoid(logits)
    yes = -target * log_p
    if pos_weight is not None:
        yes = yes * pos_weight
    return (yes - (1 - target) * (log_p - logits)) * present, present  # log(1 - p) = log p - logit


def _form(value: Any) -> str | None:
    if value is None or value == "balanced":
        return "none" if value is None else "balanced"
    if isinstance(value, int | float):
        return "number"
    return "list" if isinstance(value, list | tuple) else None


PosWeight = Annotated[
    Annotated[None, Tag("none")]
    | Annotated[Literal["balanced"], Tag("balanced")]
    | Annotated[float, Field(gt=0), Tag("number")]
    | Annotated[tuple[Annotated[float, Field(gt=0)], ...], Tag("list")],
    Discriminator(
        _form,
        custom_error_type="pos_weight",
        custom_error_message="must be balanced, a number, a list of numbers, or null",
    ),
]
"""What a recipe may say."""


class BCE(Criterion):
    """Binary cross-entropy with logits: yes or no, each answer by itself.

    In classification it serves two classes, the second being the yes; its logit is the difference of the two logits,
    so that the probabilities of a softmax are the right ones.

    Args:
        pos_weight: how much a yes counts; a number, or one for each column, or ``balanced``: the number of no divided
            by the number of yes in the training split.
        class_counts: rows of each class, from the task.

    Raises:
        RecipeError: ``balanced`` without two counts that are not 0.
    """

    takes: ClassVar[Takes] = "binary"
    pos_weight: Tensor | None

    def __init__(
        self,
        pos_weight: PosWeight = None,
        class_counts: Annotated[Sequence[int] | None, FromData] = None,
    ) -> None:
        super().__init__()
        self.balanced = pos_weight == "balanced"
        weight = _no_to_yes(class_counts) if isinstance(pos_weight, str) else pos_weight
        tensor = None if weight is None else torch.as_tensor(weight, dtype=torch.get_default_dtype())
        self.weight = weight
        self.register_buffer("pos_weight", tensor, persistent=False)

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return binary_cross_entropy_terms(prediction, target, self.pos_weight)

    def resolved(self) -> dict[str, Any]:
        return {"pos_weight": self.weight} if self.balanced else {}


def _no_to_yes(counts: Sequence[int] | None) -> float:
    if counts is None or len(counts) != 2 or 0 in counts:
        known = "unknown" if counts is None else ", ".join(map(str, counts))
        raise RecipeError(
            [f"pos_weight: balanced needs rows of both classes (rows of each in training: {known}); give a number"]
        )
    return counts[0] / counts[1]
