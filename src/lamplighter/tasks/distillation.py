"""A small network learns from the answers of a trained one.

Legend: N rows, K classes, D widths of embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.core.errors import DataError
from lamplighter.core.recipe import AutoComponent
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Signature
from lamplighter.data.source import Batch, Rows
from lamplighter.losses.class_weights import ClassWeights
from lamplighter.losses.kl import kl_divergence
from lamplighter.metrics.intervals import wilson
from lamplighter.tasks.base import Loss, Task, full_precision
from lamplighter.tasks.classification import Classification
from lamplighter.tasks.teacher import FinishedRun, OpenRun, Teacher


class Distillation(Classification):
    """Knowledge distillation (Hinton et al. 2015, "Distilling the Knowledge in a Neural Network").

    The student learns alpha T^2 KL(softmax(t / T) || softmax(s / T)) + (1 - alpha) CE(y, s), where t and s are the
    logits of teacher and student. The soft part counts every row, with or without a label, so a pool of unlabelled rows
    (y = -1) teaches too. The hard part is divided by the share of labelled rows in the whole training split, not by
    the number of those that happen to be in the batch: each labelled row weighs the same, and accumulating
    micro-batches gives exactly what one large batch gives.

    ``features`` adds the mean squared distance of the embeddings, the student's through a linear layer that is trained
    with it and dropped afterwards (FitNets, Romero et al. 2015). The teacher may be of any architecture, an ensemble
    (`lamplighter.run.ensembling.ensemble`), or an earlier run of the same recipe: self-distillation, and again and
    again born-again networks (Furlanello et al. 2018). What is exported is the student alone, a plain classification.

    A teacher is refused when it predicts other labels, takes other inputs, was trained on rows that would judge the
    student, or is no better on the validation split than the ``baseline``, or, without one, than always answering the
    most frequent class.

    Args:
        model: the student; maps normalised inputs to logits (N, K).
        signature: of the data; its only target is a category.
        open_run: opens teacher and baseline.
        teacher: directory of the teacher's run.
        temperature: T; above 1 it shows how the teacher ranks the wrong classes.
        alpha: share of the soft part; 0 is plain training, 1 needs no labels.
        features: weight of the distance between embeddings; 0: not compared.
        baseline: directory of a run of the student without a teacher, which the teacher must beat and which the report
            shows beside the student.
        label_smoothing: share of the target's probability spread over all classes; of the hard part.
        loss: the hard part; see task classification.
        class_weights: of the hard part; see task classification.
        positive: of two classes, the label that precision, recall and a decision threshold are about; null: the second.
        teacher_digest: sha256 of the teacher's weights, written when training begins; a resumed run insists on it.
        teacher_features: width of the teacher's embedding, written when training begins.
        input_statistics: mean and standard deviation of the inputs over the training split, per channel.
        class_counts: rows of each class in the training split, where they are known.
        rows: gives the rows of a split by its name.
        augmented: whether training batches are changed at random, so that the teacher must see each of them.
        seed: of the intervals of `scores`.

    Raises:
        DataError: the teacher does not qualify.
    """

    def __init__(
        self,
        model: Annotated[nn.Module, FromData],
        signature: Annotated[Signature, FromData],
        open_run: Annotated[OpenRun, FromData],
        teacher: str,
        temperature: Annotated[float, Field(gt=0)] = 4.0,
        alpha: Annotated[float, Field(ge=0, le=1)] = 0.7,
        features: Annotated[float, Field(ge=0)] = 0.0,
        baseline: str | None = None,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        loss: AutoComponent = "auto",
        class_weights: ClassWeights = None,
        positive: str | None = None,
        teacher_digest: str | None = None,
        teacher_features: int | None = None,
        input_statistics: Annotated[tuple[Sequence[float], Sequence[float]] | None, FromData] = None,
        class_counts: Annotated[Sequence[int] | None, FromData] = None,
        rows: Annotated[Any, FromData] = None,
        augmented: Annotated[bool, FromData] = True,
        seed: Annotated[int, FromData] = 0,
    ) -> None:
        super().__init__(
            model, signature, input_statistics, seed, label_smoothing, loss, class_weights, class_counts, positive
        )
        self.temperature, self.alpha, self.features = temperature, alpha, features
        training: Rows | None = None if rows is None else rows("train")
        names = [tensor.name for tensor in signature.tensors]
        self.teacher = Teacher(teacher, open_run, names, None if augmented else training, teacher_digest)
        self.baseline = baseline
        self.wants_index = not augmented
        self.labelled = self._labelled_share(class_counts, training)
        self.width = teacher_features
        if teacher_digest is None:  # a new training begins: what can go wrong should do so now
            self._check_quality(self.teacher.open())
            self.width = self.teacher.width(_known(training)) if features else None
        self.projection: nn.Linear | None = None
        if features and self.width:
            self.projection = nn.Linear(self._own_width(_known(training)), self.width)

    def step(self, batch: Batch) -> Iterator[Loss]:
        answers = self.teacher(batch)
        logits, features = self._forward(batch["x"])
        value, weight = self.loss_of(logits, batch["y"])
        rows, weight = len(logits), torch.as_tensor(weight, device=logits.device)
        # The mean over no row is NaN.
        hard = torch.where(weight > 0, value * weight, 0) / (rows * self.labelled)
        soft = kl_divergence(logits, answers[0], self.temperature)
        total = self.alpha * soft + (1 - self.alpha) * hard
        metrics = {"soft": soft.detach(), "hard": hard.detach()}
        if self.projection is not None and features is not None:
            distance = F.mse_loss(full_precision(self.projection(features)), answers[1])
            total = total + self.features * distance
            metrics["features"] = distance.detach()
        yield Loss(total, weight=rows, metrics=metrics)

    def check_targets(self, y: Tensor) -> None:
        if self.alpha < 1 or bool((y >= 0).any()):
            super().check_targets(y)

    def resolved(self) -> dict[str, Any]:
        return {**super().resolved(), "teacher_digest": self.teacher.digest, "teacher_features": self.width}

    def compared(self) -> dict[str, Task]:
        """Teacher and baseline, for the report."""
        others = {f"teacher ({self.teacher.run})": self.teacher.open().task}
        if self.baseline is not None:
            others[f"baseline ({self.baseline})"] = self.teacher.open_run(self.baseline).task
        return others

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits, and the embedding where it is compared."""
        if self.projection is None:
            return self.model(self.norm(x)), None
        features = self._embedding(x)
        return cast(nn.Module, self.model.head)(features), features

    def _labelled_share(self, class_counts: Sequence[int] | None, training: Rows | None) -> float:
        """Mean weight of a training row in the hard part: the share of rows with a label, if classes weigh alike."""
        if class_counts is None or training is None or not sum(class_counts):
            return 1.0
        logits_1K = torch.zeros(1, self.classes)
        weights = [float(self.loss_of(logits_1K, torch.tensor([k]))[1]) for k in range(self.classes)]
        return float(np.dot(weights, class_counts)) / len(training)

    def _check_quality(self, opened: FinishedRun) -> None:
        found = opened.judge()
        y, n = found["y"], len(found["y"])
        right = int((found["logits"].argmax(axis=1) == y).sum())
        what = (
            f"task.teacher: {self.teacher.run} has accuracy {right / n:.4f} on the {n:,} rows of the validation split"
        )
        if self.baseline is not None:
            other = self.teacher.open_run(self.baseline).judge()
            bar = float((other["logits"].argmax(axis=1) == other["y"]).mean())
            if right / n <= bar:
                raise DataError(
                    f"{what}, no more than {self.baseline} with {bar:.4f}, which had no teacher; train a better one"
                )
            return
        common = float(np.bincount(y).max()) / n
        if wilson(right, n)[0] <= common:
            raise DataError(
                f"{what}, not clearly more than always answering the most frequent class ({common:.4f}); it has "
                "nothing to teach: train it first"
            )

    def _own_width(self, training: Rows) -> int:
        head = getattr(self.model, "head", None)
        if not hasattr(self.model, "forward_features") or not isinstance(head, nn.Module):
            raise DataError(
                "task.features: the student's model has no forward_features and head, so it has no embedding to "
                "compare; leave out features"
            )
        self.model.eval()  # a row alone has no variance for a BatchNorm to divide by
        with torch.no_grad():
            width = int(self._embedding(training.fetch(np.arange(1))["x"]).shape[1])
        self.model.train()
        return width

    def _embedding(self, x: Tensor) -> Tensor:
        return cast(Callable[[Tensor], Tensor], self.model.forward_features)(self.norm(x))


def _known(training: Rows | None) -> Rows:
    if training is None:
        raise DataError("task.features: needs a look at the training rows, which this data does not give")
    return training
