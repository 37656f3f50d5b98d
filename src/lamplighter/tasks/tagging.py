"""A tag for each word of a text: names, parts of speech, and whatever else words are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.core.errors import DataError, RecipeError, TrainingError
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.recipe import AutoComponent, Component
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Signature
from lamplighter.data.source import Batch
from lamplighter.losses.class_weights import ClassWeights, resolve_weights
from lamplighter.losses.criterion import build
from lamplighter.metrics import tagging
from lamplighter.metrics.base import Takes, inputs
from lamplighter.metrics.score import Score
from lamplighter.nn.crf import CRF
from lamplighter.nn.exported_text import ExportedTaggingNetwork
from lamplighter.tasks.base import Loss, Task, for_export, full_precision, target_present
from lamplighter.tasks.classification import check_weighable
from lamplighter.tasks.text_classification import check_texts


class Tagging(Task):
    """Trains a text model (bert, lstm, tcn) to give each word a tag.

    A word of several tokens is judged by its first. Batches hold ``input_ids`` int64 (N, L), ``attention_mask`` bool
    (N, L), and ``y`` int64 (N, L): the tag where a word begins, -1 elsewhere. Without a CRF each word gets its
    likeliest tag; with one the sentence gets its likeliest sequence (Viterbi), from which what the tagging scheme
    forbids is excluded. The bundle decodes in the same way.

    Args:
        model: maps ids and mask to logits (N, L, tags).
        signature: of the data; its inputs are texts, its only target is tags.
        crf: judge whole sequences of tags, see `lamplighter.nn.crf.CRF`; a model may bring a CRF of its own.
        loss: of each word; auto is cross-entropy. With a CRF it is the sequence's, and none can be chosen.
        class_weights: how much a word of each tag counts: balanced, one number for each tag, or {name:
            effective-number, beta: 0.999}; not with a CRF.
        class_counts: words of each tag in the training split, where they are known.
        seed: of the intervals of `scores`.

    Raises:
        DataError: the data has no texts with tags.
        RecipeError: loss, weights and CRF do not go together.
    """

    kind = "tagging"

    def __init__(
        self,
        model: Annotated[nn.Module, FromData],
        signature: Annotated[Signature, FromData],
        crf: bool = False,
        loss: AutoComponent = "auto",
        class_weights: ClassWeights = None,
        class_counts: Annotated[Sequence[int] | None, FromData] = None,
        seed: Annotated[int, FromData] = 0,
    ) -> None:
        super().__init__()
        check_texts("tagging", signature)
        if signature.targets[0].kind != "tags" or len(signature.labels) < 2:
            raise DataError("task tagging takes texts with at least two tags for words; source conll reads such files")
        self.labels = signature.labels
        longest = signature.tensors[0].longest
        assert longest is not None
        self.longest = longest
        self.model = model
        self.seed = seed
        named = any(label[:2] in ("B-", "S-") for label in self.labels)
        self.monitor = ("entity_f1", "max") if named else ("token_accuracy", "max")
        self.own_crf = CRF(len(self.labels), self.labels) if crf and getattr(model, "crf", None) is None else None
        if self.crf is not None and (loss != "auto" or class_weights is not None):
            raise RecipeError(["task: with a CRF the loss is the sequence's; take out loss and class_weights"])
        self.loss = Component(name="cross-entropy") if loss == "auto" else loss
        self.class_weights = resolve_weights(class_weights, class_counts, len(self.labels))
        if self.class_weights is not None:
            check_weighable(self.loss)
        facts = {"class_weights": self.class_weights, "class_counts": class_counts, "num_classes": len(self.labels)}
        self.criterion = build(self.loss, ("classes",), f"tagging with {len(self.labels)} tags", facts)

    @property
    def crf(self) -> CRF | None:
        """The task's, or the model's own."""
        found: CRF | None = self.own_crf if self.own_crf is not None else getattr(self.model, "crf", None)
        return found

    def step(self, batch: Batch) -> Iterator[Loss]:
        logits, y = self._logits(batch), batch["y"]
        if self.crf is None:
            value, weight = self.criterion(logits.flatten(0, 1), y.flatten())
            yield Loss(value, weight)
            return
        logits, y = words_of(logits, y)
        present = (y >= 0).any(dim=1)
        weight = (y >= 0).sum()
        if not bool(present.any()):
            yield Loss(logits.sum() * torch.nan, weight)
            return
        nll = self.crf(logits[present], y[present].clamp(min=0), y[present] >= 0)
        yield Loss(nll.sum() / weight, weight)

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        """``predicted`` and ``y`` (N, longest), by word, -1 behind the last; ``log_loss`` (N,), its sum over words."""
        present = target_present(batch["y"])
        logits, y = words_of(self._logits(batch)[present], batch["y"][present])
        mask = y >= 0
        if self.crf is None:
            predicted = logits.argmax(dim=2)
            each = F.cross_entropy(logits.transpose(1, 2), y, ignore_index=-1, reduction="none")
            log_loss = each.sum(dim=1)
        elif len(y):
            predicted = self.crf.decode(logits, mask)
            log_loss = self.crf(logits, y.clamp(min=0), mask)
        else:
            predicted, log_loss = y, y.new_zeros(0, dtype=torch.float32)
        rest = self.longest - y.shape[1]
        return {
            "predicted": F.pad(predicted.masked_fill(~mask, -1), (0, rest), value=-1),
            "y": F.pad(y, (0, rest), value=-1),
            "log_loss": log_loss,
        }

    def check_targets(self, y: Tensor) -> None:
        wrong = ((y < -1) | (y >= len(self.labels))).nonzero()
        if len(wrong):
            raise DataError(f"tag {int(y[tuple(wrong[0])])} does not fit {len(self.labels)} labels")
        if not bool((y >= 0).any()):
            raise DataError("no word of the training split has a tag")

    def resolved(self) -> dict[str, Any]:
        if self.crf is not None:
            return {}
        decided: dict[str, Any] = {"loss": self.loss.replace(**self.criterion.resolved())}
        if self.class_weights is not None:
            decided["class_weights"] = list(self.class_weights)
        return decided

    def metrics(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        return tagging.metrics(outputs["predicted"], outputs["y"], outputs["log_loss"], self.labels)

    def scores(self, outputs: dict[str, np.ndarray]) -> dict[str, Score]:
        return tagging.scores(outputs["predicted"], outputs["y"], outputs["log_loss"], self.labels, self.seed)

    def metric_inputs(self, takes: Takes, outputs: dict[str, np.ndarray]) -> tuple[Any, Any]:
        return inputs(takes, outputs, self.labels)

    def export(self) -> ExportSpec:
        network = ExportedTaggingNetwork(self.model)
        outputs = ("logits", "embedding") if network.embeds else ("logits",)
        settings = {} if self.crf is None else {"crf": self.crf.settings()}
        return ExportSpec(for_export(network), "tagging", outputs, settings)

    def _logits(self, batch: Batch) -> Tensor:
        logits: Tensor = self.model(batch["input_ids"], batch["attention_mask"])
        wanted = (*batch["input_ids"].shape, len(self.labels))
        if logits.shape != wanted:
            raise TrainingError(
                f"the model's output has shape {tuple(logits.shape)}; tagging needs {wanted}, logits of each tag for "
                "each token"
            )
        return full_precision(logits)


def words_of(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Only the places with a tag, one after the other: (N, L, K), (N, L) -> (N, W, K), (N, W), -1 behind the last.

    >>> words_of(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[-1, 0, 0]]))
    (tensor([[[2.],
             [3.]]]), tensor([[0, 0]]))
    """
    tagged = y >= 0
    width = max(1, int(tagged.sum(dim=1).max())) if len(y) else 1
    order = (~tagged).int().argsort(dim=1, stable=True)[:, :width]
    return logits.gather(1, order.unsqueeze(2).expand(-1, -1, logits.shape[2])), y.gather(1, order)
