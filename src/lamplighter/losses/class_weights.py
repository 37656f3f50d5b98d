"""Class weights from how often each class occurs in the training split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from lamplighter.core.errors import RecipeError


class EffectiveNumber(BaseModel):
    """``{name: effective-number, beta: 0.999}``: see `effective_number`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["effective-number"]
    beta: Annotated[float, Field(ge=0, lt=1, description="0: all classes alike; towards 1: balanced")] = 0.999


def _form(value: Any) -> str | None:
    if value is None or value == "balanced":
        return "none" if value is None else "balanced"
    if isinstance(value, dict | EffectiveNumber):
        return "effective"
    return "list" if isinstance(value, list | tuple) else None


ClassWeights = Annotated[
    Annotated[None, Tag("none")]
    | Annotated[Literal["balanced"], Tag("balanced")]
    | Annotated[EffectiveNumber, Tag("effective")]
    | Annotated[tuple[Annotated[float, Field(ge=0)], ...], Tag("list")],
    Discriminator(
        _form,
        custom_error_type="class_weights",
        custom_error_message="must be balanced, {name: effective-number, beta: 0.999}, a list of numbers, or null",
    ),
]
"""What a recipe may say."""


def resolve_weights(weights: ClassWeights, counts: Sequence[int] | None, num_classes: int) -> tuple[float, ...] | None:
    """The numbers behind a recipe's words.

    Args:
        weights: what the recipe says.
        counts: training rows of each class; None when they are not known.
        num_classes: how many weights are needed.

    Raises:
        RecipeError: the counts are needed and not known, or the number of weights is wrong.

    >>> resolve_weights("balanced", [30, 10], 2)
    (0.6666666666666666, 2.0)
    """
    if weights is None:
        return None
    if isinstance(weights, tuple | list):
        if len(weights) != num_classes or not any(weights):
            raise RecipeError(
                [f"task.class_weights: {list(weights)} for {num_classes} classes; one number each, not all of them 0"]
            )
        return tuple(float(weight) for weight in weights)
    if counts is None:
        raise RecipeError(
            ["task.class_weights: this source does not keep its targets in memory; give a list of numbers"]
        )
    return balanced(counts) if weights == "balanced" else effective_number(counts, weights.beta)


def balanced(counts: Sequence[int]) -> tuple[float, ...]:
    """rows / (classes * rows of the class): each class counts alike, and the mean weight of a row is 1.

    The same as scikit-learn's ``compute_class_weight("balanced")``. A class without rows gets 0 and is not counted.

    Args:
        counts: rows of each class.

    >>> balanced([50, 25, 25])
    (0.6666666666666666, 1.3333333333333333, 1.3333333333333333)
    """
    present = sum(count > 0 for count in counts)
    return tuple(sum(counts) / (present * count) if count else 0.0 for count in counts)


def effective_number(counts: Sequence[int], beta: float) -> tuple[float, ...]:
    """(1 - beta) / (1 - beta^n) for a class of n rows, scaled so that the mean weight of a row is 1 (Cui et al. 2019).

    The more rows a class has, the less a further one adds; with beta the class never counts as more than 1 / (1 - beta)
    rows. Beta 0 gives 1 for all; beta towards 1 gives `balanced`. ("Class-balanced loss based on effective number of
    samples" scales the weights to sum to the number of classes; a mean that is divided by the weights is the same.)

    Args:
        counts: rows of each class. A class without rows gets 0.
        beta: from 0 to below 1.

    >>> [round(weight, 4) for weight in effective_number([1000, 10], beta=0.99)]
    [0.9144, 9.5624]
    """
    # expm1 keeps the digits that 1 - beta^n loses for beta close to 1.
    effective = [-math.expm1(count * math.log(beta)) if beta else 1.0 for count in counts]
    raw = [(1 - beta) / share if count else 0.0 for share, count in zip(effective, counts)]
    mean = sum(weight * count for weight, count in zip(raw, counts)) / max(sum(counts), 1)
    return tuple(weight / mean for weight in raw)
