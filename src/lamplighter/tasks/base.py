"""What a task is: the networks, the losses they are trained with, and how they are judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, nn

from lamplighter.core.export_spec import ExportSpec
from lamplighter.data.source import Batch
from lamplighter.metrics.score import Score


@dataclass
class Loss:
    """One loss of a step.

    Attributes:
        value: scalar, the mean over what ``weight`` counts.
        weight: rows (or tokens) in this micro-batch; losses are averaged over micro-batches and ranks by it.
        optimizer: name of the optimizer that steps on it.
        metrics: detached scalars to log beside the loss, averaged with the same weight.
        retain_graph: keep the graph for a later phase.
    """

    value: Tensor
    weight: float
    optimizer: str = "main"
    metrics: dict[str, Tensor] = field(default_factory=dict)
    retain_graph: bool = False


class Task(nn.Module):
    """A training method. Holds its networks as submodules.

    Constructor parameters marked `FromData` are ``model: nn.Module`` and ``signature: Signature``.
    """

    monitor: tuple[str, str] = ("loss", "min")
    """Metric and mode that decide which epoch is best when the recipe does not say."""

    def step(self, batch: Batch) -> Iterator[Loss]:
        """Yield the losses of one micro-batch; resumed after the optimizer of the yielded loss has stepped."""
        raise NotImplementedError

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        """Predictions and targets of one batch, first dimension rows (blank targets left out)."""
        raise NotImplementedError

    def metrics(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        """Metrics of a whole split from the concatenated results of `evaluate`, ``loss`` among them."""
        raise NotImplementedError

    def scores(self, outputs: dict[str, np.ndarray]) -> dict[str, Score]:
        """`metrics` with number of rows and 95% interval, for the final report."""
        raise NotImplementedError

    def parameters_of(self, optimizer: str) -> Iterator[tuple[str, nn.Parameter]]:
        """Named parameters that an optimizer owns; by default all belong to ``"main"``."""
        yield from self.named_parameters()

    def export(self) -> ExportSpec:
        """The network as the bundle needs it."""
        raise NotImplementedError
