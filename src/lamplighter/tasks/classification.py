"""One class out of several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.errors import DataError, TrainingError
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Signature
from lamplighter.data.source import Batch
from lamplighter.losses.cross_entropy import cross_entropy
from lamplighter.metrics import classification
from lamplighter.metrics.calibration import softmax
from lamplighter.metrics.score import Score
from lamplighter.nn.exported import ExportedNetwork
from lamplighter.nn.input_norm import InputNorm
from lamplighter.tasks.base import Loss, Task, for_export, full_precision, target_present


class Classification(Task):
    """Trains a network to give each row one of the target's classes, by cross-entropy.

    Batches hold ``x`` and ``y``: class indices (N,), -1 for a row without a label, which does not count.

    Args:
        model: maps normalised inputs to logits (N, classes).
        signature: of the data; its only target is a category.
        input_statistics: mean and standard deviation of the inputs over the training split, per channel.
        seed: of the intervals of `scores`.
        label_smoothing: share of the target's probability spread over all classes.

    Raises:
        DataError: the data has no single category target.
    """

    monitor = ("accuracy", "max")

    def __init__(
        self,
        model: Annotated[nn.Module, FromData],
        signature: Annotated[Signature, FromData],
        input_statistics: Annotated[tuple[Sequence[float], Sequence[float]] | None, FromData] = None,
        seed: Annotated[int, FromData] = 0,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        if len(signature.labels) < 2:
            raise DataError(_why_not(signature))
        self.classes = len(signature.labels)
        self.norm: nn.Module = InputNorm(*input_statistics) if input_statistics else nn.Identity()
        self.model = model
        self.label_smoothing = label_smoothing
        self.seed = seed

    def step(self, batch: Batch) -> Iterator[Loss]:
        y = batch["y"]
        logits = self.model(self.norm(batch["x"]))
        self._check_shape(logits)
        value = cross_entropy(full_precision(logits), y, self.label_smoothing)
        yield Loss(value, weight=torch.count_nonzero(y >= 0))

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        """``logits`` (N, classes) float32 and ``y`` (N,) of the rows that have a label."""
        logits = self.model(self.norm(batch["x"]))
        self._check_shape(logits)
        labelled = target_present(batch["y"])
        return {"logits": full_precision(logits)[labelled], "y": batch["y"][labelled]}

    def check_targets(self, y: Tensor) -> None:
        wrong = ((y < -1) | (y >= self.classes)).nonzero()
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"training row {row}: class index {int(y[row])} does not fit {self.classes} labels; "
                f"use 0 to {self.classes - 1}, or -1 for a row without a label"
            )
        if not bool((y >= 0).any()):
            raise DataError("no row of the training split has a label")

    def metrics(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        return classification.metrics(softmax(outputs["logits"]), outputs["y"])

    def scores(self, outputs: dict[str, np.ndarray]) -> dict[str, Score]:
        return classification.scores(softmax(outputs["logits"]), outputs["y"], seed=self.seed)

    def export(self) -> ExportSpec:
        network = ExportedNetwork(self.norm, self.model, nn.Identity())
        outputs = ("logits", "embedding") if network.embeds else ("logits",)
        return ExportSpec(for_export(network), "classification", outputs)

    def _check_shape(self, logits: Tensor) -> None:
        if logits.dim() != 2 or logits.shape[1] != self.classes:
            raise TrainingError(
                f"the model's output has shape {tuple(logits.shape)}; classification needs (rows, {self.classes})"
            )


def _why_not(signature: Signature) -> str:
    names = ", ".join(f"'{target.name}' ({target.kind})" for target in signature.targets)
    if len(signature.targets) > 1:
        return f"task classification takes one target, this data has {names}; name one of them in data"
    if signature.labels:
        return f"target '{signature.targets[0].name}' has the single class '{signature.labels[0]}'; two are needed"
    return f"task classification needs a target with classes, this data has {names}; use task: {{name: regression}}"
