"""One class out of several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.errors import DataError, RecipeError, TrainingError
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.recipe import AutoComponent, Component
from lamplighter.core.registry import FromData, get, parameters_from_data, schema
from lamplighter.core.signature import Signature
from lamplighter.data.source import Batch
from lamplighter.losses.choose import for_classes
from lamplighter.losses.class_weights import ClassWeights, resolve_weights
from lamplighter.losses.criterion import Criterion, Takes, build
from lamplighter.metrics import classification
from lamplighter.metrics.calibration import softmax
from lamplighter.metrics.score import Score
from lamplighter.nn.exported import ExportedNetwork
from lamplighter.nn.input_norm import InputNorm
from lamplighter.tasks.base import Loss, Task, for_export, full_precision, target_present

_OTHER_TASKS = {"mask": "segmentation", "tags": "tagging", "tokens": "language-model", "text": "seq2seq"}
"""What fits another kind of target."""


class Classification(Task):
    """Trains a network to give each row one of the target's classes.

    Batches hold ``x`` and ``y``: class indices (N,), -1 for a row without a label, which does not count; or
    probabilities (N, classes), floating point, as mixup makes them, with zeros in a row without a label. The metric
    ``loss`` is the log-loss of the answers whatever was trained with, so that runs can be compared.

    Args:
        model: maps normalised inputs to logits (N, classes).
        signature: of the data; its only target is a category.
        input_statistics: mean and standard deviation of the inputs over the training split, per channel.
        seed: of the intervals of `scores`.
        label_smoothing: share of the target's probability spread over all classes; of cross-entropy.
        loss: what training makes small. Losses of yes or no (bce, binary-focal) serve two classes: they see the
            difference of the two logits, which is the logit of the second class, so the softmax stays right. auto is
            cross-entropy.
        class_weights: how much a row of each class counts: balanced, so that each class counts alike; one
            number for each class; or {name: effective-number, beta: 0.999}, which lies between balanced and null.
        class_counts: rows of each class in the training split, where they are known.
        positive: of two classes, the label that precision, recall, their curve and a decision threshold are about;
            null: the second one.

    Raises:
        DataError: the data has no single category target.
        RecipeError: loss, weights and classes do not fit together.
    """

    monitor = ("accuracy", "max")

    def __init__(
        self,
        model: Annotated[nn.Module, FromData],
        signature: Annotated[Signature, FromData],
        input_statistics: Annotated[tuple[Sequence[float], Sequence[float]] | None, FromData] = None,
        seed: Annotated[int, FromData] = 0,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        loss: AutoComponent = "auto",
        class_weights: ClassWeights = None,
        class_counts: Annotated[Sequence[int] | None, FromData] = None,
        positive: str | None = None,
    ) -> None:
        super().__init__()
        if len(signature.labels) < 2 or signature.targets[0].kind != "category":
            raise DataError(_why_not(signature))
        self._check_inputs(signature)
        self.classes = len(signature.labels)
        self.positive = _index_of(positive, signature.labels)
        self.norm: nn.Module = InputNorm(*input_statistics) if input_statistics else nn.Identity()
        self.model = model
        self.seed = seed
        self.notes: list[str] = []
        if loss == "auto":
            name, counts = signature.targets[0].name, class_counts if class_weights is None else None
            self.notes += for_classes(name, signature.labels, counts)
        self.loss = _smoothed(Component(name="cross-entropy") if loss == "auto" else loss, label_smoothing)
        self.class_weights = resolve_weights(class_weights, class_counts, self.classes)
        if self.class_weights is not None:
            check_weighable(self.loss)
        self.criterion = self._criterion(class_counts)

    def step(self, batch: Batch) -> Iterator[Loss]:
        value, weight = self.loss_of(self.model(*self.inputs_of(batch)), batch["y"])
        yield Loss(value, weight)

    def inputs_of(self, batch: Batch) -> tuple[Tensor, ...]:
        """What the model takes of a batch."""
        return (self.norm(batch["x"]),)

    def loss_of(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The criterion's mean over the rows that have a label, and what these weigh."""
        self._check_shape(logits)
        if y.is_floating_point() and y.shape != logits.shape:
            raise TrainingError(f"targets of shape {tuple(y.shape)}: probabilities need (rows, {self.classes})")
        criterion, logits = self.criterion, full_precision(logits)
        if criterion.takes == "binary":
            logits, y = logits[:, 1] - logits[:, 0], _yes(y)
        value, weight = criterion(logits, y)
        return value, weight

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        """``logits`` (N, classes) float32 and ``y`` (N,) of the rows that have a label."""
        logits = self.model(*self.inputs_of(batch))
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

    def resolved(self) -> dict[str, Any]:
        decided: dict[str, Any] = {"loss": self.loss.replace(**self.criterion.resolved())}
        if self.class_weights is not None:
            decided["class_weights"] = list(self.class_weights)
        return decided

    def metrics(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        p, y, answers = softmax(outputs["logits"]), outputs["y"], outputs.get("answers")
        return classification.metrics(p, y, answers, self.positive)

    def scores(self, outputs: dict[str, np.ndarray]) -> dict[str, Score]:
        p, y, answers = softmax(outputs["logits"]), outputs["y"], outputs.get("answers")
        return classification.scores(p, y, seed=self.seed, answers=answers, positive=self.positive)

    def export(self) -> ExportSpec:
        network = ExportedNetwork(self.norm, self.model, nn.Identity())
        outputs = ("logits", "embedding") if network.embeds else ("logits",)
        return ExportSpec(for_export(network), "classification", outputs)

    def _check_inputs(self, signature: Signature) -> None:
        """Raises DataError: the data's tensors are not those that `inputs_of` takes."""
        if signature.vocabulary is not None:
            raise DataError("this data has texts; use task: {name: text-classification}")

    def _criterion(self, counts: Sequence[int] | None) -> Criterion:
        takes: tuple[Takes, ...] = ("classes", "binary") if self.classes == 2 else ("classes",)
        facts = {"class_weights": self.class_weights, "class_counts": counts, "num_classes": self.classes}
        return build(self.loss, takes, f"classification of {self.classes} classes", facts)

    def _check_shape(self, logits: Tensor) -> None:
        if logits.dim() != 2 or logits.shape[1] != self.classes:
            raise TrainingError(
                f"the model's output has shape {tuple(logits.shape)}; classification needs (rows, {self.classes})"
            )


def _index_of(positive: str | None, labels: Sequence[str]) -> int:
    if positive is None:
        return 1
    if len(labels) != 2:
        raise RecipeError([f"task.positive: only one of two classes can be the positive one; here are {len(labels)}"])
    if positive not in labels:
        raise RecipeError([f"task.positive: no label '{positive}'; there are '{labels[0]}' and '{labels[1]}'"])
    return list(labels).index(positive)


def _smoothed(loss: Component, label_smoothing: float) -> Component:
    """The task's own ``label_smoothing`` put into its loss."""
    if label_smoothing == 0:
        return loss
    if loss.name != "cross-entropy":
        raise RecipeError([f"task.label_smoothing: '{loss.name}' smooths no labels; take it out"])
    if loss.params.get("label_smoothing", 0.0) not in (0.0, label_smoothing):
        raise RecipeError(["task.label_smoothing: task.loss has another one; give it once"])
    return loss.replace(label_smoothing=label_smoothing)


def check_weighable(loss: Component) -> None:
    """Raises RecipeError: the loss takes no class weights."""
    component = get("loss", loss.name)
    if "class_weights" not in parameters_from_data(component):
        known = schema("loss", loss.name).model_fields
        instead = next((f"; it has {name} for that" for name in ("pos_weight", "alpha") if name in known), "")
        raise RecipeError([f"task.class_weights: '{loss.name}' takes none{instead}"])


def _yes(y: Tensor) -> Tensor:
    """1 for the second class, 0 for the first, NaN without a label; of probabilities that of the second."""
    if not y.is_floating_point():
        return y.float().masked_fill(y < 0, torch.nan)
    return y[:, 1] / y.sum(dim=1)  # 0 / 0 is NaN


def _why_not(signature: Signature) -> str:
    names = ", ".join(f"'{target.name}' ({target.kind})" for target in signature.targets)
    if len(signature.targets) > 1:
        return f"task classification takes one target, this data has {names}; name one of them in data"
    if len(signature.labels) == 1:
        return f"target '{signature.targets[0].name}' has the single class '{signature.labels[0]}'; two are needed"
    fitting = _OTHER_TASKS.get(signature.targets[0].kind, "regression")
    return f"task classification needs a target with classes, this data has {names}; use task: {{name: {fitting}}}"
