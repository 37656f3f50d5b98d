"""What a task is: the networks, the losses they are trained with, and how they are judged."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamplighter.core.export_spec import AnswerKind, ExportSpec
from lamplighter.data.source import Batch, Source
from lamplighter.losses.criterion import full_precision as full_precision
from lamplighter.metrics import bootstrap
from lamplighter.metrics.base import Metric, Takes, inputs
from lamplighter.metrics.score import Score


@dataclass
class Loss:
    """One loss of a step.

    Attributes:
        value: scalar, the mean over what ``weight`` counts.
        weight: rows (or tokens) that count in this micro-batch; losses are averaged over micro-batches and ranks by
            it. A tensor on the loss's device spares a wait for the device.
        optimizer: name of the optimizer that steps on it.
        metrics: detached scalars to log beside the loss, averaged with the same weight.
        retain_graph: keep the graph for a later phase.
        logged: whether value and metrics enter the means of the epoch.
    """

    value: Tensor
    weight: float | Tensor
    optimizer: str = "main"
    metrics: dict[str, Tensor] = field(default_factory=dict)
    retain_graph: bool = False
    logged: bool = True


class Task(nn.Module):
    """A training method. Holds its networks as submodules.

    Constructor parameters marked `FromData` are ``model: nn.Module`` and ``signature: Signature``.
    """

    monitor: tuple[str, str] = ("loss", "min")
    """Metric and mode that decide which epoch is best when the recipe does not say."""

    kind: AnswerKind | None = None
    """Of answer: which words and sections the report has for it. None: ``logits`` or ``value`` of the outputs tell."""

    optimizers: tuple[str, ...] = ("main",)
    """Names that ``Loss.optimizer`` may take; the trainer makes one optimizer for each."""

    notes: Sequence[str] = ()
    """What was decided from the data, one line each, for a person to read before training."""

    wants_index: bool = False
    """Whether training batches hold ``index`` (N,): the position of each row within the training split."""

    positive: int = 1
    """Of two classes, the index of the one that precision, recall and a decision threshold are about."""

    extra_metrics: Sequence[Metric] = ()
    """Further metrics, from the recipe's ``train.metrics``; see `every_metric`."""

    def step(self, batch: Batch) -> Iterator[Loss]:
        """Yield the losses of one micro-batch; resumed after the optimizer of the yielded loss has stepped."""
        raise NotImplementedError

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        """Predictions and targets of one batch, first dimension rows (blank targets left out)."""
        raise NotImplementedError

    def check_targets(self, y: Tensor) -> None:
        """Look at all training targets before training; raise DataError when one cannot be learned."""

    def resolved(self) -> dict[str, Any]:
        """Constructor parameters that were decided from the data; they go into the run's recipe."""
        return {}

    def metrics(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        """Metrics of a whole split from the concatenated results of `evaluate`, ``loss`` among them."""
        raise NotImplementedError

    def scores(self, outputs: dict[str, np.ndarray]) -> dict[str, Score]:
        """`metrics` with number of rows and 95% interval, for the final report."""
        raise NotImplementedError

    def metric_inputs(self, takes: Takes, outputs: dict[str, np.ndarray]) -> tuple[Any, Any]:
        """Predictions and truth as a metric of the recipe takes them, out of the results of `evaluate`.

        Raises:
            DataError: this task has nothing of the kind.
        """
        return inputs(takes, outputs)

    def compared(self) -> dict[str, Task]:
        """Other tasks that the report judges on the same test rows beside this one: members, a teacher."""
        return {}

    def shown(self, source: Source) -> dict[str, Any]:
        """What the report shows of a trained task besides its outputs, plain data: texts it writes, for instance."""
        return {}

    def parameters_of(self, optimizer: str) -> Iterator[tuple[str, nn.Parameter]]:
        """Named parameters that an optimizer owns; by default all belong to ``"main"``."""
        yield from self.named_parameters()

    def export(self) -> ExportSpec:
        """The network as the bundle needs it."""
        raise NotImplementedError


def every_metric(task: Task, outputs: dict[str, np.ndarray]) -> dict[str, float]:
    """`Task.metrics`, and those that the recipe adds."""
    extra = {each.key: each.compute(*task.metric_inputs(each.takes, outputs)) for each in task.extra_metrics}
    return {**task.metrics(outputs), **extra}


def every_score(task: Task, outputs: dict[str, np.ndarray]) -> dict[str, Score]:
    """`Task.scores`, and those that the recipe adds; numbers that are not defined are left out."""
    seed = int(getattr(task, "seed", 0))
    extra = {
        each.key: bootstrap.score(each, *task.metric_inputs(each.takes, outputs), seed=seed)
        for each in task.extra_metrics
    }
    return {**task.scores(outputs), **{name: score for name, score in extra.items() if score is not None}}


def target_present(y: Tensor) -> Tensor:
    """Which rows have a target: a class index of at least 0 (one of them, in masks), or a number that is not NaN.

    >>> target_present(torch.tensor([2, -1])), target_present(torch.tensor([[float("nan"), 1.0]]))
    (tensor([ True, False]), tensor([True]))
    """
    if not y.is_floating_point():
        return (y >= 0).flatten(1).any(dim=1) if y.dim() > 1 else y >= 0
    return ~torch.isnan(y).flatten(1).all(dim=1) if y.dim() > 1 else ~torch.isnan(y)


def for_export(module: nn.Module) -> nn.Module:
    """A copy on the CPU, in float32, contiguous, in eval mode, without gradients."""
    exported = copy.deepcopy(module).cpu().float().to(memory_format=torch.contiguous_format).eval()
    return exported.requires_grad_(False)
