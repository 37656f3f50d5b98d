"""Is the model too simple, too eager, or about right? A verdict from the loss on seen and on unseen rows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lamplighter.core import seeding
from lamplighter.data.source import Batch, Rows
from lamplighter.tasks.base import Task
from lamplighter.train.evaluation import evaluate

GAP = 0.1
"""Overfitting: unseen rows lose at least this share of the trivial loss more than seen ones ..."""
EXCESS = 0.8
"""... and at least this share of their loss is that excess (five times the loss of seen rows); or ..."""
WIDE_GAP = 0.5
"""... the gap is this share of the trivial loss, whatever the proportion."""
UNEXPLAINED = 0.25
"""Underfitting: this share of the trivial loss is left on the rows that the model was trained on."""
_MOST_ROWS = 5_000

_ADVICE = {
    "over": (
        "more training rows, or augmentation (augment, callbacks mixup and cutmix)",
        "weight decay, dropout, label smoothing",
        "a smaller model, or callback early-stopping with train.monitor: {metric: loss, mode: min}",
    ),
    "under": (
        "a larger model, more epochs, or another learning rate",
        "less weight decay, dropout and augmentation",
        "better inputs: if none of this lowers the training loss, they say no more about the target",
    ),
    "ok": (),
}


@dataclass(frozen=True)
class Verdict:
    """What the losses say.

    Attributes:
        kind: ``under``, ``over`` or ``ok``.
        train_loss: on rows that the model was trained on, in evaluation mode, without augmentation.
        val_loss: the same loss on rows it has not seen.
        baseline_loss: of the trivial model, which always answers the training rows' class shares or mean.
        rows: how many training rows were looked at; 0 when not known.

    >>> print(verdict(train_loss=0.01, val_loss=0.9, baseline_loss=2.3))
    overfitting: loss 0.01 on training rows, 0.9 on validation rows, 2.3 for always answering the same
    """

    kind: Literal["under", "over", "ok"]
    train_loss: float
    val_loss: float
    baseline_loss: float
    rows: int = 0

    @property
    def gap(self) -> float:
        """The generalisation gap, as a share of the trivial loss."""
        return (self.val_loss - self.train_loss) / self.baseline_loss

    @property
    def title(self) -> str:
        """``overfitting``, ``underfitting`` or ``a good fit``."""
        return {"over": "overfitting", "under": "underfitting", "ok": "a good fit"}[self.kind]

    @property
    def advice(self) -> tuple[str, ...]:
        """What usually helps, the first first."""
        return _ADVICE[self.kind]

    def __str__(self) -> str:
        return (
            f"{self.title}: loss {self.train_loss:.4g} on training rows, {self.val_loss:.4g} on validation rows, "
            f"{self.baseline_loss:.4g} for always answering the same"
        )

    def lines(self) -> list[str]:
        """The verdict, and the first advice where there is something to do."""
        return [str(self), *([f"what usually helps: {self.advice[0]}"] if self.advice else [])]

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Verdict:
        """What `to_dict` gave."""
        return cls(**data)


def verdict(train_loss: float, val_loss: float, baseline_loss: float, rows: int = 0) -> Verdict:
    """Compare three losses: of seen rows, of unseen rows, and of answering always the same.

    Over: the gap between unseen and seen rows is at least 0.1 of the trivial loss and makes up 0.8 of the loss of the
    unseen rows, or it is at least half the trivial loss. The loss of n seen rows is first raised by 2 sqrt(2 / n) of
    itself, by which a mean of so few squared errors may be too low. Under, otherwise: seen rows keep more than 0.25 of
    the trivial loss. On ten points of a noisy sine (standard deviation 0.2) this says under, ok, over for polynomials
    of degree 1, 3 and 9 in 100%, 97% and 98.5% of 200 draws.

    A single model cannot tell a target that is noise from one that it is too simple for: "under" means either.

    Args:
        train_loss: in evaluation mode; the mean that training reports will not do: it was taken with dropout and
            augmentation, while the weights still changed.
        val_loss: of the same kind.
        baseline_loss: of the same kind, above 0.
        rows: training rows that were looked at; 0 when not known.
    """
    at_most = train_loss * (1 + (2 * math.sqrt(2 / rows) if rows else 0))
    gap = val_loss - at_most
    if gap >= WIDE_GAP * baseline_loss or (gap >= GAP * baseline_loss and gap >= EXCESS * val_loss):
        kind: Literal["under", "over", "ok"] = "over"
    else:
        kind = "under" if train_loss > UNEXPLAINED * baseline_loss else "ok"
    return Verdict(kind, train_loss, val_loss, baseline_loss, rows)


def judge(
    task: Task, train: Rows, val: dict[str, np.ndarray], batch_size: int, device: torch.device, seed: int = 0
) -> Verdict | None:
    """Evaluate a trained task on a sample of its training rows and compare with its validation rows.

    Args:
        task: on ``device``, with the weights to judge.
        train: the training split; at most 5,000 random rows of it are looked at.
        val: outputs of the validation split, as `lamplighter.train.evaluation.evaluate` gives them.
        batch_size: rows at a time.
        device: where to compute.
        seed: of the sample.

    Returns:
        None when the task's answers have no trivial counterpart, or a loss is not a number.
    """
    if constant_answer(val, val) is None:
        return None
    count = min(_MOST_ROWS, len(train))
    chosen = np.sort(seeding.generator(seed, "overfitting").permutation(len(train))[:count])
    seen, _ = evaluate(task, _Some(train, chosen), batch_size, device)
    trivial = constant_answer(seen, val)
    if trivial is None:
        return None
    own, unseen, constant = (task.metrics(outputs).get("loss", math.nan) for outputs in (seen, val, trivial))
    if not all(math.isfinite(loss) for loss in (own, unseen, constant)) or constant <= 0:
        return None
    return verdict(own, unseen, constant, rows=len(next(iter(seen.values()))))


def constant_answer(train: dict[str, np.ndarray], val: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """The validation outputs of a model that knows only how often each answer occurs among the training rows.

    Args:
        train: outputs of training rows: ``logits`` (N, K) and ``y`` (N,) class indices or (N, K) of zeros and ones; or
            ``value`` and ``y``, (N, T) with NaN for a blank; or ``confusion`` (N, K, K) of pixels with ``log_loss``.
        val: outputs of validation rows.

    Returns:
        Logits that give the classes' shares (each counted once more than it was seen, so that none is impossible), or
        each target's mean; None for other outputs.

    >>> train = {"logits": np.zeros((4, 2)), "y": np.array([0, 0, 1, 0])}
    >>> np.exp(constant_answer(train, train)["logits"][0])
    array([0.66666667, 0.33333333])
    """
    y = train["y"] if "y" in train else np.empty(0)
    if "confusion" in train:
        counts = train["confusion"].sum(axis=(0, 2)) + 1.0
        pixels_NK = val["confusion"].sum(axis=2)
        answered = np.zeros_like(val["confusion"])
        answered[:, :, int(counts.argmax())] = pixels_NK
        return {"confusion": answered, "log_loss": -pixels_NK @ np.log(counts / counts.sum())}
    if "logits" in train and train["logits"].ndim == 2:
        if y.ndim == 1 and np.issubdtype(y.dtype, np.integer):
            counts = np.bincount(y, minlength=train["logits"].shape[1]) + 1.0
            constant = np.log(counts / counts.sum())
        elif y.shape == train["logits"].shape:
            share = (np.nansum(y, axis=0) + 1) / ((~np.isnan(y)).sum(axis=0) + 2)
            constant = np.log(share / (1 - share))
        else:
            return None
        return {**val, "logits": np.broadcast_to(constant, val["logits"].shape)}
    if "value" in train and train["value"].shape == y.shape:
        present = ~np.isnan(y)
        mean = np.where(present, y, 0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
        return {**val, "value": np.broadcast_to(mean, val["value"].shape)}
    return None


class _Some:
    """Some of the rows."""

    def __init__(self, rows: Rows, positions: np.ndarray) -> None:
        self.rows, self.positions = rows, positions
        self.decodes = getattr(rows, "decodes", False)

    def __len__(self) -> int:
        return len(self.positions)

    def fetch(self, indices: np.ndarray) -> Batch:
        found: dict[str, Tensor] = self.rows.fetch(self.positions[indices])
        return found
