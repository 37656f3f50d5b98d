"""Decides what a recipe leaves open and writes it down: from then on nothing is measured again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lamplighter.core import files, registry
from lamplighter.core.errors import DataError, RecipeError, TrainingError
from lamplighter.core.recipe import Component, Monitored, Recipe, Train
from lamplighter.data.source import Batch, Source
from lamplighter.run.build import make_trainer, targets_of
from lamplighter.tasks.base import Task
from lamplighter.train import lr_auto, memory, precision, rng
from lamplighter.train.device import resolve_device
from lamplighter.train.distributed.strategy import Strategy
from lamplighter.train.evaluation import to_device
from lamplighter.train.metrics_log import MetricsLog
from lamplighter.train.progress import NoProgress
from lamplighter.train.signals import StopRequest
from lamplighter.train.trainer import Trainer


def resolve(recipe: Recipe, source: Source, task: Task, threads: int, folder: Path) -> Recipe:
    """Decide what the recipe leaves open, and write it down: from now on nothing is measured again."""
    device = resolve_device(recipe.device)
    train, rows = recipe.train, source.split("train")
    targets = targets_of(rows)
    if targets is not None:
        task.check_targets(targets)
    indices = np.arange(min(recipe.data.batch_size, len(rows)))
    batch = rows.fetch(indices) | ({"index": torch.from_numpy(indices)} if task.wants_index else {})
    batch = to_device(batch, device)
    with memory.explained(recipe.data.batch_size):
        _try_out(task.to(device), batch)
    log = MetricsLog(folder / "metrics.jsonl")
    log.truncate(0)
    if train.precision == "auto":
        with memory.explained(recipe.data.batch_size):
            chosen, timings = precision.choose(task.to(device), batch, device, train.channels_last)
        log.append(
            {"event": "precision", "step": 0, "chosen": precision.label(chosen), "device": str(device), "ms": timings}
        )
    else:
        chosen = precision.fixed(train.precision, train.channels_last, batch)
    _check_judging(recipe, source, task.to(device), batch)
    monitor = train.monitor or Monitored.model_validate(dict(zip(("metric", "mode"), task.monitor)))
    decided = {"precision": chosen.name, "channels_last": chosen.channels_last, "monitor": monitor}
    resolved = recipe.with_(
        device=str(device),
        threads=threads,
        data=recipe.data.replace(**source.resolved()),
        task=recipe.task.replace(**_named(recipe.task, task.resolved())),
        train=train.model_copy(update=decided),
    )
    if lr_auto.is_auto(resolved.train):
        resolved = _with_found_rate(resolved, source, task, folder, log)
    source.splits.save(folder / "split.npz")
    resolved.save(folder / "recipe.yaml")
    return resolved


def _try_out(task: Task, batch: Batch) -> None:
    """Compute two rows, so that a network that does not take this data is named before anything is measured.

    Raises:
        TrainingError: says what the network was given, and torch's complaint.
    """
    few = {name: tensor[:2] for name, tensor in batch.items()}
    was_training = task.training
    try:
        with torch.inference_mode(), rng.untouched():
            task.eval().evaluate(few)
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
        if memory.ran_out(error):
            raise
        given = ", ".join(f"{name}: {t.dtype} of shape {tuple(t.shape)}" for name, t in few.items())
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TrainingError(
            f"the network does not take this data ({given}): {said}; it must map one tensor of float32 or uint8 to one "
            "tensor (rows, outputs), in float32 weights"
        ) from error
    finally:
        task.train(was_training)


def _with_found_rate(recipe: Recipe, source: Source, task: Task, folder: Path, log: MetricsLog) -> Recipe:
    """``lr: auto`` becomes a number; what it was read off is kept beside the diary."""
    from lamplighter.evaluate.lr_picture import picture

    def make(settings: Train) -> Trainer:
        asked = recipe.with_(train=settings)
        return make_trainer(asked, source, task, folder, NoProgress(), StopRequest(), Strategy(), ())

    with memory.explained(recipe.data.batch_size):
        train, curve = lr_auto.resolve(recipe.train, make)
    shown = {name: curve.to_dict()[name] for name in ("chosen", "rule", "suggestions", "sweeps")}
    log.append({"event": "lr", "step": 0, **shown})
    files.write_json(folder / "lr_finder.json", curve.to_dict())
    picture(folder / "lr_finder.svg", curve)
    return recipe.with_(train=train)


def found_rate(recipe: Recipe, folder: Path) -> list[str]:
    """A line about a learning rate that was found, not given."""
    if not (folder / "lr_finder.svg").is_file():
        return []
    return [f"learning rate {recipe.train.optimizer.params['lr']:g}, found by a range test: {folder / 'lr_finder.svg'}"]


def _check_judging(recipe: Recipe, source: Source, task: Task, batch: Batch) -> None:
    """Find out before training whether the recipe's threshold and metrics are any for this task."""
    classes = len(source.signature.labels)
    if recipe.bundle.threshold is not None and classes != 2:
        having = f"this one has {classes}" if classes else "this one is a number"
        raise RecipeError([f"bundle.threshold: decides between the two classes of a target; {having}"])
    if not task.extra_metrics:
        return
    training = task.training
    with torch.inference_mode():
        outputs = {name: tensor.cpu().numpy() for name, tensor in task.eval().evaluate(batch).items()}
    task.train(training)
    for position, metric in enumerate(task.extra_metrics):
        try:
            task.metric_inputs(metric.takes, outputs)
        except DataError as error:
            name = recipe.train.metrics[position].name
            raise RecipeError([f"train.metrics.{position}: '{name}' is no metric of this task: {error}"]) from None


def _named(task: Component, decided: dict[str, Any]) -> dict[str, Any]:
    """Of what a task decided, the parameters that a recipe may name: a subclass may have taken some away."""
    known = registry.schema("task", task.name).model_fields
    return {key: value for key, value in decided.items() if key in known}
