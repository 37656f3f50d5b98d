"""A class for each pixel of an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.core.errors import DataError, TrainingError
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.recipe import AutoComponent, Component
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Signature
from lamplighter.data.preprocessing import tiling
from lamplighter.data.source import Batch, Source
from lamplighter.losses.choose import for_pixels
from lamplighter.losses.class_weights import ClassWeights, resolve_weights
from lamplighter.losses.criterion import Criterion, Takes, build
from lamplighter.metrics import segmentation
from lamplighter.metrics.score import Score
from lamplighter.nn.input_norm import InputNorm
from lamplighter.nn.segmented import SegmentedNetwork
from lamplighter.tasks.base import Loss, Task, for_export, full_precision, target_present
from lamplighter.tasks.classification import check_weighable


class Segmentation(Task):
    """Trains a network to give each pixel of an image one of the target's classes.

    Batches hold ``x`` (N, C, H, W) and ``y`` (N, H, W): class indices, -1 for a pixel that does not count (unknown, or
    what smaller images were filled up with); ``original_size`` (N, 2) where images were filled up. The metric ``loss``
    is the log-loss of a pixel whatever was trained with. Evaluation keeps a confusion matrix of each image, no masks.

    Args:
        model: maps normalised images to logits (N, classes, H, W).
        signature: of the data; its only target is a mask.
        input_statistics: mean and standard deviation of the inputs over the training split, per channel.
        seed: of the intervals of `scores`.
        loss: what training makes small: dice-ce, dice, tversky (overlap of regions), cross-entropy, focal (each pixel
            by itself). With two classes losses see the difference of the two logits, which is the logit of the second
            class: dice-ce is then binary cross-entropy + Dice, and bce and binary-focal can be had. auto is dice-ce.
        class_weights: how much a pixel of each class counts: balanced, so that each class counts alike; one number for
            each class; or {name: effective-number, beta: 0.999}, which lies between balanced and null.
        class_counts: pixels of each class in the training split, where they are known.
        tile: larger images are answered in tiles of so many pixels in height and width, whose answers are blended; in
            evaluation and in service alike. null: images are answered whole.
        overlap: share of a tile that it has in common with its neighbour, at least.

    Raises:
        DataError: the data has no single target that is a mask.
        RecipeError: loss, weights and classes do not fit together.
    """

    kind = "segmentation"
    monitor = ("mean_iou", "max")

    def __init__(
        self,
        model: Annotated[nn.Module, FromData],
        signature: Annotated[Signature, FromData],
        input_statistics: Annotated[tuple[Sequence[float], Sequence[float]] | None, FromData] = None,
        seed: Annotated[int, FromData] = 0,
        loss: AutoComponent = "auto",
        class_weights: ClassWeights = None,
        class_counts: Annotated[Sequence[int] | None, FromData] = None,
        tile: Annotated[int, Field(ge=8)] | None = None,
        overlap: Annotated[float, Field(ge=0, le=0.5)] = 0.25,
    ) -> None:
        super().__init__()
        if len(signature.targets) != 1 or signature.targets[0].kind != "mask" or len(signature.labels) < 2:
            raise DataError(_why_not(signature))
        self.classes = len(signature.labels)
        self.norm: nn.Module = InputNorm(*input_statistics) if input_statistics else nn.Identity()
        self.model = model
        self.seed = seed
        self.tile, self.overlap = tile, overlap
        self.notes: list[str] = []
        if loss == "auto":
            counts = class_counts if class_weights is None else None
            self.notes += for_pixels(signature.targets[0].name, signature.labels, counts)
        self.loss = Component(name="dice-ce") if loss == "auto" else loss
        self.class_weights = resolve_weights(class_weights, class_counts, self.classes)
        if self.class_weights is not None:
            check_weighable(self.loss)
        self.criterion = self._criterion(class_counts)

    def step(self, batch: Batch) -> Iterator[Loss]:
        logits = self.model(self.norm(batch["x"]))
        self._check_shape(logits, batch["y"])
        value, weight = self.loss_of(full_precision(logits), batch["y"])
        yield Loss(value, weight)

    def loss_of(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The criterion's mean over what counts of (N, K, H, W) and (N, H, W), and how much that is."""
        takes = self.criterion.takes
        if self.classes == 2 and takes in ("binary", "regions"):
            logits = logits[:, 1:] - logits[:, :1]
        if takes == "binary":
            logits, y = logits[:, 0], y.float().masked_fill(y < 0, torch.nan)
        value, weight = self.criterion(logits, y)
        return value, weight

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        """``confusion`` (N, K, K) pixels, the truth in rows, and ``log_loss`` (N,) summed over pixels."""
        logits, y = self.logits(batch), batch["y"]
        self._check_shape(logits, y)
        labelled = target_present(y)
        logits, y = logits[labelled], y[labelled]
        log_loss = F.cross_entropy(logits, y, ignore_index=-1, reduction="none").flatten(1).sum(dim=1)
        return {"confusion": _confusion(logits.argmax(dim=1), y, self.classes), "log_loss": log_loss}

    def logits(self, batch: Batch) -> Tensor:
        """(N, K, H, W) float32 of whole images or of tiles, each image without what it was filled up with."""
        x, sizes = batch["x"], batch.get("original_size")
        if sizes is None:
            return self._logits(x)
        logits = torch.zeros(len(x), self.classes, *x.shape[2:], device=x.device)
        for height, width in sizes.unique(dim=0).tolist():
            rows = (sizes == sizes.new_tensor([height, width])).all(dim=1).nonzero().flatten()
            logits[rows, :, :height, :width] = self._logits(x[rows, :, :height, :width])
        return logits

    def check_targets(self, y: Tensor) -> None:
        wrong = ((y < -1) | (y >= self.classes)).nonzero()
        if len(wrong):
            image, row, column = wrong[0].tolist()
            raise DataError(
                f"training image {image}, row {row}, column {column}: class index {int(y[tuple(wrong[0])])} does not "
                f"fit {self.classes} labels; use 0 to {self.classes - 1}, or -1 for a pixel that does not count"
            )
        if not bool((y >= 0).any()):
            raise DataError("no pixel of the training split has a class")

    def resolved(self) -> dict[str, Any]:
        decided: dict[str, Any] = {"loss": self.loss.replace(**self.criterion.resolved())}
        if self.class_weights is not None:
            decided["class_weights"] = list(self.class_weights)
        return decided

    def metrics(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        return segmentation.metrics(outputs["confusion"], outputs["log_loss"])

    def scores(self, outputs: dict[str, np.ndarray]) -> dict[str, Score]:
        return segmentation.scores(outputs["confusion"], outputs["log_loss"], self.seed)

    def shown(self, source: Source) -> dict[str, Any]:
        """``answered``: positions within the test split -> images (H, W, C), true and answered masks."""
        rows = source.split("test")

        def answered(positions: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            batch = {name: tensor.to(self._device()) for name, tensor in rows.fetch(positions).items()}
            with torch.inference_mode():
                predicted = self.logits(batch).argmax(dim=1)
            sizes = batch.get("original_size", predicted.new_tensor(predicted.shape[1:]).expand(len(predicted), 2))
            parts = [tensor.cpu().numpy() for tensor in (batch["x"].movedim(1, 3), batch["y"], predicted)]
            return [tuple(part[:h, :w] for part in one) for *one, (h, w) in zip(*parts, sizes.tolist())]

        return {"answered": answered}

    def export(self) -> ExportSpec:
        network = SegmentedNetwork(self.norm, self.model)
        outputs = ("logits", "embedding") if network.embeds else ("logits",)
        settings = {"tile": self.tile, "overlap": self.overlap}
        return ExportSpec(for_export(network), "segmentation", outputs, settings)

    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def _logits(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        if self.tile is None or not tiling.needs_tiles(height, width, self.tile):
            logits: Tensor = full_precision(self.model(self.norm(x)))
            return logits

        def network(tiles: np.ndarray) -> list[np.ndarray]:
            answer = full_precision(self.model(self.norm(torch.from_numpy(tiles).to(x.device))))
            return [answer.detach().cpu().numpy()]

        blended = tiling.tiled(network, x.cpu().numpy(), self.tile, self.overlap)[0]
        return torch.from_numpy(blended).to(x.device)

    def _criterion(self, counts: Sequence[int] | None) -> Criterion:
        takes: tuple[Takes, ...] = ("classes", "regions", *(("binary",) if self.classes == 2 else ()))
        facts = {"class_weights": self.class_weights, "class_counts": counts, "num_classes": self.classes}
        return build(self.loss, takes, f"segmentation of {self.classes} classes", facts)

    def _check_shape(self, logits: Tensor, y: Tensor) -> None:
        wanted = (len(y), self.classes, *y.shape[1:])
        if logits.shape != wanted:
            raise TrainingError(
                f"the model's output has shape {tuple(logits.shape)}; segmentation needs {wanted}, logits of each "
                "class for each pixel (models such as unet or deeplabv3 give these)"
            )


def _confusion(predicted: Tensor, y: Tensor, classes: int) -> Tensor:
    """(N, K, K) int64 counts of pixels that have a class, the truth in rows."""
    images = torch.arange(len(y), device=y.device)[:, None, None]
    cells = (images * classes + y) * classes + predicted
    counts = torch.bincount(cells[y >= 0], minlength=len(y) * classes * classes)
    return counts.reshape(len(y), classes, classes)


def _why_not(signature: Signature) -> str:
    names = ", ".join(f"'{target.name}' ({target.kind})" for target in signature.targets)
    return (
        f"task segmentation takes images with masks of at least two classes, this data has {names}; source mask-folder "
        "reads such data"
    )
