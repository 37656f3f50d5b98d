"""Does a network learn something that holds for rows it has not seen? A test that labels shuffled by mistake fail."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lamplighter.core.errors import TrainingError
from lamplighter.core.seeding import generator
from lamplighter.data.source import Batch, Rows
from lamplighter.tasks.base import Task
from lamplighter.train.evaluation import evaluate
from lamplighter.train.trial import nominal_rate, trial

if TYPE_CHECKING:
    from lamplighter.train.trainer import Trainer

ALPHA = 0.01
"""Chance that answers which have nothing to do with the targets pass."""
LEAST = 0.02
"""Share of a constant answer's loss that has to be gained: less comes about by accident where mixed-up targets meet few
and large groups of rows (up to 1.7% on Fashion-MNIST with shuffled training targets)."""
_PERMUTATIONS = 199
_ROWS = 1000
_SUMS = {"nll", "log_loss"}  # losses of whole rows, as tasks of texts and tags keep them


@dataclass(frozen=True)
class Association:
    """How well the answers for validation rows fit their own targets, targets of other rows, and a constant answer.

    Attributes:
        real: the answers fit their own targets better than chance explains, and clearly better than a constant answer.
        p_value: share of the shuffles (the real pairing among them) that fit as well.
        loss: on validation rows, with their own targets.
        shuffled_loss: mean over the shuffles.
        constant_loss: of the best answer that is the same for all rows (class shares, or the mean); None where the
            task's outputs are neither logits nor numbers like the targets.
        steps: of training before.
        rows: validation rows looked at.
        reason: the same as a sentence.
    """

    real: bool
    p_value: float
    loss: float
    shuffled_loss: float
    constant_loss: float | None
    steps: int
    rows: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data; numbers that are not finite become None, which JSON has."""
        return {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in asdict(self).items()}


def learns_something(trainer: Trainer, *, lr: float | None = None, steps: int = 200, seed: int = 0) -> Association:
    """Train for a short while, then hold the answers for validation rows against their targets. Leaves no trace.

    Args:
        trainer: as it would train; stands afterwards where it stood.
        lr: learning rate of all steps; None for the recipe's.
        steps: optimizer steps.
        seed: of the shuffles, and of which validation rows are looked at when they are more than 1,000.

    Raises:
        TrainingError: the loss is not finite, or the task has no targets.
    """
    rows = some_rows(trainer.val, seed)
    rate = nominal_rate(trainer) if lr is None else lr
    with trial(trainer) as step:
        for number in range(1, steps + 1):
            if not math.isfinite(loss := step(rate)):
                raise TrainingError(f"the loss is {loss} after {number} steps at a learning rate of {rate:g}")
        batch_size = 2 * trainer.loader.batch_size
        outputs, _ = evaluate(
            trainer.task, rows, batch_size, trainer.device, trainer.precision, strategy=trainer.strategy
        )
        return held_against_shuffles(trainer.task, outputs, steps, seed)


def held_against_shuffles(task: Task, outputs: dict[str, np.ndarray], steps: int, seed: int) -> Association:
    """A permutation test of answers against targets, and a comparison with the best constant answer.

    If the targets have nothing to do with the inputs, every pairing of answers and targets is equally likely, so the
    share of random pairings with a loss as low as the real one is a p-value: a network passes then with a chance of at
    most `ALPHA`, whatever the network, task and loss. Rows that depend on each other (of one person, of one minute)
    make that chance larger. Where the targets of the training rows alone are mixed up, the answers may happen to go
    together with the true targets; but then they are hardly better than a constant answer (`LEAST`).

    Args:
        task: for its metrics.
        outputs: what ``task.evaluate`` gave for rows that were not trained on, ``y`` among them.
        steps: of training before, for the sentence.
        seed: of the shuffles.

    Raises:
        TrainingError: there is no ``y``, or the loss does not depend on it: it was summed up in ``task.evaluate``.
    """
    if "y" not in outputs:
        raise TrainingError("this task's evaluate gives no 'y', so there are no targets to shuffle")
    if _SUMS & outputs.keys():
        raise TrainingError("this task's evaluate sums its loss up, so there is none left to see with other targets")
    loss = task.metrics(outputs)["loss"]
    draws, n = generator(seed, "association"), len(outputs["y"])
    shuffled = [
        task.metrics({**outputs, "y": outputs["y"][draws.permutation(n)]})["loss"] for _ in range(_PERMUTATIONS)
    ]
    p_value = (sum(not other > loss for other in shuffled) + 1) / (_PERMUTATIONS + 1)
    mean, constant = float(np.mean(shuffled)), _constant_loss(task, outputs)
    real = p_value <= ALPHA and (constant is None or loss < constant - LEAST * abs(constant))
    met = f"after {steps} steps the loss on {n:,} validation rows is {loss:.4g}"
    if real:
        reason = f"{met}, with shuffled targets {mean:.4g}: what was learned holds for new rows"
    elif p_value > ALPHA:
        reason = (
            f"{met}, with shuffled targets {mean:.4g} (p = {p_value:.2g}): no better than chance. Do the targets "
            "belong to these inputs? If they do, the inputs say little about them, or more steps are needed"
        )
    else:
        reason = (
            f"{met}; one constant answer for all rows would have {constant:.4g}. Do the targets of the training rows "
            "belong to their inputs? If they do, the inputs say little about them, or the network learns its rows by "
            "heart: use a smaller one, or regularise it"
        )
    return Association(real, p_value, loss, mean, constant, steps, n, reason)


def _constant_loss(task: Task, outputs: dict[str, np.ndarray]) -> float | None:
    """Loss of the answer that fits all rows best without looking at them."""
    y = outputs["y"]
    if "logits" in outputs and not np.issubdtype(y.dtype, np.floating) and outputs["logits"].ndim == 2:
        counts = np.bincount(y, minlength=outputs["logits"].shape[1])
        answer, name = np.log(np.maximum(counts, 1e-12) / counts.sum()), "logits"
    elif "value" in outputs and outputs["value"].shape == y.shape:
        answer, name = np.nanmean(y, axis=0), "value"
    else:
        return None
    rows = np.broadcast_to(answer, outputs[name].shape).astype(outputs[name].dtype)
    return task.metrics({**outputs, name: np.ascontiguousarray(rows)})["loss"]


def some_rows(rows: Rows, seed: int) -> Rows:
    """All rows, or 1,000 of them drawn at random."""
    if len(rows) <= _ROWS:
        return rows
    return _Some(rows, np.sort(generator(seed, "some-rows").permutation(len(rows))[:_ROWS]))


class _Some:
    """A part of the rows."""

    def __init__(self, rows: Rows, positions: np.ndarray) -> None:
        self.rows, self.positions = rows, positions
        self.decodes = getattr(rows, "decodes", False)

    def __len__(self) -> int:
        return len(self.positions)

    def fetch(self, indices: np.ndarray) -> Batch:
        return self.rows.fetch(self.positions[indices])
