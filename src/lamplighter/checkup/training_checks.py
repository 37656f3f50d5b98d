"""The training before it begins: its learning rate, whether it learns something real, its time and memory."""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import torch
from torch import Tensor

from lamplighter.checkup.result import Check, Cost
from lamplighter.core.errors import TrainingError
from lamplighter.train.diagnostics.association import Association, learns_something, some_rows
from lamplighter.train.evaluation import evaluate
from lamplighter.train.lr_curve import START, LRCurve, tenth_of_minimum, way_down
from lamplighter.train.trainer import Trainer
from lamplighter.train.trial import nominal_rate, trial

SLOW = 30.0
"""How much lower than suggested a learning rate may be before a word about it."""
_STEPS, _SECONDS = 12, 3.0
_LEARNING_STEPS = 200


def look_at_rate(lr: float | None, curve: LRCurve) -> Check:
    """The recipe's learning rate beside the range test.

    Args:
        lr: of the recipe; None for ``auto``.
        curve: what the test saw.
    """
    if curve.chosen is None:
        text = f"the range test shows no rate that trains: {curve.reason}"
        return Check("learning rate", "wrong" if lr is None else "look", text)
    found = f"{curve.chosen:g}, {curve.reason}"
    if lr is None:
        return Check("learning rate", "ok", f"auto takes {found}")
    lowest = curve.lrs[way_down(np.array(curve.smoothed))[1]]
    if not curve.ended.startswith("the last rate") and lr >= curve.lrs[-1]:
        what = curve.ended.partition(" at a rate")[0]
        text = f"{lr:g} is above {curve.lrs[-1]:.2g}, where {what}; the range test takes {found}"
        return Check("learning rate", "wrong", text)
    if lr > lowest:
        text = (
            f"{lr:g} is above {lowest:.2g}, where the loss was lowest and began to rise; the range test takes {found}"
        )
        return Check("learning rate", "look", text)
    if lr < curve.chosen / SLOW:
        text = (
            f"{lr:g} is {curve.chosen / lr:.0f} times lower than the range test takes ({found}); training will be slow"
        )
        return Check("learning rate", "look", text)
    return Check("learning rate", "ok", f"{lr:g}; the range test takes {found}")


def look_at_learning(trainer: Trainer, curve: LRCurve, planned: int) -> tuple[Association | None, Check]:
    """Train for a short while and look whether that holds for validation rows.

    At the rate of the range test; where that chose none, at a tenth of the rate with its lowest loss, or the recipe's
    if that is lower still.
    """
    lr = nominal_rate(trainer)
    if curve.chosen is not None:
        lr = curve.chosen
    elif len(curve.losses) > START:
        lr = min(lr, tenth_of_minimum(curve.lrs, np.array(curve.smoothed)))
    try:
        found = learns_something(trainer, lr=lr, steps=min(_LEARNING_STEPS, planned), seed=trainer.seed)
    except NotImplementedError:
        return None, Check("learning", "ok", "this task has no targets to hold answers against")
    except TrainingError as error:
        return None, Check("learning", "look", str(error))
    return found, Check("learning", "ok" if found.real else "wrong", found.reason)


def measure_cost(trainer: Trainer) -> Cost:
    """Take a few steps and one look at validation rows, with a watch."""
    rate, times = nominal_rate(trainer), []
    began = time.perf_counter()
    with trial(trainer) as step:
        for _ in range(_STEPS):
            start = time.perf_counter()
            step(rate)
            times.append(time.perf_counter() - start)
            if time.perf_counter() - began > _SECONDS and len(times) > 2:
                break
        remembered = sum(_bytes(optimizer.state_dict()["state"]) for optimizer in trainer.optimizers.values())
        rows, start = some_rows(trainer.val, trainer.seed), time.perf_counter()
        try:
            evaluate(trainer.task, rows, 2 * trainer.loader.batch_size, trainer.device, trainer.precision)
        except NotImplementedError:
            start = time.perf_counter()
        judging = (time.perf_counter() - start) * len(trainer.val) / len(rows)
    step_seconds = statistics.median(times[1:])
    return Cost(
        step_seconds=step_seconds,
        epoch_seconds=step_seconds * trainer.steps_per_epoch + judging,
        epochs=trainer.state.epochs,
        weight_bytes=_bytes(trainer.task.state_dict()),
        optimizer_bytes=remembered,
        peak_bytes=_peak(trainer.device),
    )


def _bytes(value: object) -> int:
    """Memory of all tensors in nested dicts."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    return sum(_bytes(item) for item in value.values()) if isinstance(value, dict) else 0


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
