"""One class for each text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.errors import DataError
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.recipe import AutoComponent
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Signature
from lamplighter.data.source import Batch
from lamplighter.losses.class_weights import ClassWeights
from lamplighter.nn.exported_text import ExportedTextNetwork
from lamplighter.tasks.base import for_export
from lamplighter.tasks.classification import Classification


class TextClassification(Classification):
    """Trains a text model (bert, lstm, textcnn ...) to give each text one of the target's classes.

    Batches hold ``input_ids`` int64 (N, L), ``attention_mask`` bool (N, L), True for real tokens, and ``y`` as in task
    classification, whose losses, weights and metrics these are.

    Args:
        model: maps ids and mask to logits (N, classes).
        signature: of the data; its inputs are texts, its only target is a category.
        seed: of the intervals of `scores`.
        label_smoothing: share of the target's probability spread over all classes; of cross-entropy.
        loss: what training makes small; auto is cross-entropy. See task classification.
        class_weights: how much a row of each class counts: balanced, one number for each class, or {name:
            effective-number, beta: 0.999}.
        class_counts: rows of each class in the training split, where they are known.
        positive: of two classes, the label that precision, recall, their curve and a decision threshold are about;
            null: the second one.

    Raises:
        DataError: the data has no texts, or no single category target.
        RecipeError: loss, weights and classes do not fit together.
    """

    def __init__(
        self,
        model: Annotated[nn.Module, FromData],
        signature: Annotated[Signature, FromData],
        seed: Annotated[int, FromData] = 0,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        loss: AutoComponent = "auto",
        class_weights: ClassWeights = None,
        class_counts: Annotated[Sequence[int] | None, FromData] = None,
        positive: str | None = None,
    ) -> None:
        super().__init__(model, signature, None, seed, label_smoothing, loss, class_weights, class_counts, positive)

    def inputs_of(self, batch: Batch) -> tuple[Tensor, ...]:
        return batch["input_ids"], batch["attention_mask"]

    def export(self) -> ExportSpec:
        network = ExportedTextNetwork(self.model)
        outputs = ("logits", "embedding") if network.embeds else ("logits",)
        return ExportSpec(for_export(network), "classification", outputs)

    def _check_inputs(self, signature: Signature) -> None:
        check_texts("text-classification", signature)


def check_texts(task: str, signature: Signature) -> None:
    """Raises DataError: the data's inputs are no texts."""
    if signature.vocabulary is None or [tensor.name for tensor in signature.tensors][:1] != ["input_ids"]:
        names = ", ".join(f"'{column.name}' ({column.kind})" for column in signature.inputs[:5])
        raise DataError(f"task {task} takes texts, this data has {names}; source text-table reads texts")
