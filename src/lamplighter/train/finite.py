"""Losses and gradients that are not finite: seen before the optimizer steps on them, and explained."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamplighter.core.errors import TrainingError
from lamplighter.data.source import Batch
from lamplighter.tasks.base import Task
from lamplighter.train.diagnostics.non_finite import first_non_finite

PATIENCE = 100
"""Steps in a row that ``train.non_finite: skip`` leaves out before it gives up."""

ADVICE = (
    "lower the learning rate (train.optimizer.lr), clip gradients (train.clip: {name: norm}), set train.precision: "
    "fp32, or look for extreme values in the data"
)


def norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    """L2 norm of all gradients together, a 0-d tensor: not finite as soon as one entry is not."""
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def error(
    task: Task,
    micro_batches: Sequence[Batch],
    numbers: Sequence[Tensor],
    epoch: int,
    step: int,
    skipped: int,
    autocast: contextlib.AbstractContextManager[Any] | None = None,
) -> TrainingError:
    """What to tell a person whose training met a number that is not finite.

    Args:
        task: as it was before the step.
        numbers: the losses; then, where it was looked at, the norm of the gradient.
        micro_batches: of the step.
        epoch: counting from 1.
        step: counting from 1.
        skipped: steps before this one that were skipped in a row.
        autocast: the context a forward pass runs in.
    """
    wrong = next((float(number) for number in numbers if not math.isfinite(number)), math.nan)
    loss_is_wrong = any(not math.isfinite(number) for number in numbers[: len(micro_batches)])
    met = f"epoch {epoch}, step {step}: the {'loss' if loss_is_wrong else 'norm of the gradient'} is {wrong}"
    where = next(
        (found for batch in micro_batches if (found := first_non_finite(task, batch, autocast)) is not None), None
    )
    met += f" ({where})" if where else ""
    if skipped:
        return TrainingError(f"{met}; the {skipped} steps before were skipped for the same reason; {ADVICE}")
    return TrainingError(f"{met}; {ADVICE}; train.non_finite: skip leaves such steps out")
