"""The recipe's data, task and trainer, built: what the data says is filled in, one seed gives one set of weights."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.core.errors import DataError, RunError
from lamplighter.core.recipe import Component, Recipe
from lamplighter.data import comparable
from lamplighter.data.source import Rows, Source
from lamplighter.data.splits import Splits
from lamplighter.losses.choose import tails
from lamplighter.tasks.base import Task
from lamplighter.tasks.teacher import FinishedRun
from lamplighter.train import checkpoint, precision, rng, run_folder
from lamplighter.train.callbacks.base import Callback
from lamplighter.train.device import resolve_device
from lamplighter.train.distributed import group
from lamplighter.train.distributed.strategy import Strategy
from lamplighter.train.evaluation import evaluate
from lamplighter.train.progress import NoProgress
from lamplighter.train.signals import StopRequest
from lamplighter.train.trainer import Trainer

_GONE = (
    "this run trained a network and arrays that were given in Python, which only that process has: use the Run that "
    "fit returned there (run.export(), run.evaluate()), or write a recipe for data and model of your own (--import)"
)


def build_source(recipe: Recipe, splits: Splits | None = None) -> Source:
    """The recipe's data, in the given splits or new ones."""
    if recipe.data.name == "arrays":
        raise RunError(_GONE)
    seed = recipe.seed if recipe.data.split_seed is None else recipe.data.split_seed
    source: Source = registry.build("source", recipe.data.name, recipe.data.params, {"seed": seed, "splits": splits})
    return source


def source_of(recipe: Recipe, splits: Splits | None, given: Source | None) -> Source:
    """The source that was given, unless it divides the rows otherwise; else one built from the recipe."""
    if given is not None and (splits is None or given.splits == splits):
        return given
    return build_source(recipe, splits)


def build_task(
    recipe: Recipe, source: Source, module: nn.Module | None = None, callbacks: Sequence[Callback] = ()
) -> Task:
    """The recipe's task with its model, freshly initialised: the same seed gives the same weights.

    Args:
        recipe: says which.
        source: the data it is for.
        module: the network that a recipe with the model ``own`` speaks of.
        callbacks: that will follow its training besides those of the recipe.
    """
    facts = {**source.signature.facts(), "seed": recipe.seed, "splits": source.splits, **_statistics(source)}
    facts["tokenizer"] = getattr(source, "tokenizer", None)
    facts |= {"rows": source.split, "augmented": _changes_batches(recipe, callbacks), "tokenizer": _tokenizer(source)}
    if recipe.model.name == "own" and module is None:
        raise RunError(_GONE)
    facts["module"] = module
    facts["open_run"] = functools.partial(_open_finished, recipe, source)

    def make(number: int, model: Component | None, component: Component) -> Task:
        chosen, own = model or recipe.model, dict(facts)
        if number and chosen.name == "own":
            raise DataError(
                "an ensemble makes each member anew, and a module given in Python is there only once; register its "
                "class (lamplighter.register) and name it in a recipe"
            )
        with rng.untouched():
            rng.seed_all(recipe.seed, f"init-{number}" if number else "init")
            if "model" in registry.parameters_from_data(registry.get("task", component.name)):
                own["model"] = registry.build("model", chosen.name, chosen.params, facts)
            task = registry.build("task", component.name, component.params, own)
        if not isinstance(task, Task) or not isinstance(own.get("model", task), nn.Module):
            raise DataError(f"model '{chosen.name}' must be an nn.Module and task '{component.name}' a Task")
        return task

    facts["make_task"] = make
    task = make(0, recipe.model, recipe.task)
    task.extra_metrics = [registry.build("metric", metric.name, metric.params) for metric in recipe.train.metrics]
    return task


def make_trainer(
    recipe: Recipe,
    source: Source,
    task: Task,
    folder: Path,
    progress: NoProgress,
    stop: StopRequest,
    strategy: Strategy,
    callbacks: Sequence[Callback],
) -> Trainer:
    """The trainer, standing where the last checkpoint was written, or at the beginning."""
    settings = recipe.train
    assert settings.precision != "auto"
    trainer = Trainer(
        task,
        source.split("train"),
        source.split("val"),
        settings=settings,
        batch_size=recipe.data.batch_size,
        seed=recipe.seed,
        precision=precision.Precision(settings.precision, bool(settings.channels_last)),
        device=resolve_device(recipe.device, group.local_rank()),
        folder=folder,
        augment=[registry.build("augment", augment.name, augment.params) for augment in recipe.augment],
        callbacks=callbacks,
        strategy=strategy,
        facts=source.signature.facts(),
        progress=progress,
        stop=stop,
    )
    rng.seed_all(recipe.seed, "train")
    if not trainer.resume():
        trainer.log.truncate(0, events=("epoch", "validation", "stop"))
    return trainer


def _changes_batches(recipe: Recipe, callbacks: Sequence[Callback]) -> bool:
    """Whether training sees rows as they are not: augmented, or mixed by a callback."""
    named = [registry.get("callback", callback.name) for callback in recipe.train.callbacks]
    hooks = [getattr(each, "on_batch", None) for each in (*named, *map(type, callbacks))]
    return bool(recipe.augment) or any(hook is not Callback.on_batch for hook in hooks)


def _open_finished(recipe: Recipe, source: Source, path: str) -> FinishedRun:
    """A finished run that the present one learns from, checked against the present data."""
    from lamplighter.run.directory import Run  # which itself builds tasks

    run, rows = Run(path), 2 * recipe.data.batch_size
    if not run.finished:
        raise RunError(f"{path}: training has not finished; go on with: {run_folder.resume_command(run.path)}")
    comparable.check_same_question(path, run.source(), source)
    if comparable.is_same_table(run.recipe.data, recipe.data):
        comparable.check_unseen(path, run.source(), source)
    task, digest = run.task(), checkpoint.digest(run.path / "checkpoints" / "best")
    return FinishedRun(path, task, digest, lambda: evaluate(task, source.split("val"), rows, torch.device("cpu"))[0])


def _tokenizer(source: Source) -> Any:
    """What makes ids of the data's texts; None for other data."""
    return next((step.encoder for step in source.preprocessing.steps if hasattr(step, "encoder")), None)


def _statistics(source: Source) -> dict[str, Any]:
    """What the training split says of inputs and targets, None where that is not known."""
    facts: dict[str, Any] = dict.fromkeys(("input_statistics", "target_statistics", "class_counts", "tails"))
    if hasattr(source, "statistics"):
        facts["input_statistics"] = source.statistics().get(source.signature.tensors[0].name)
    y = targets_of(source.split("train"))
    if source.signature.labels:
        counts = source.class_counts() if hasattr(source, "class_counts") else None
        facts["class_counts"] = counts or _class_counts(y, len(source.signature.labels))
        return facts
    if hasattr(source, "target_statistics"):
        facts["target_statistics"] = source.target_statistics()
    else:
        facts["target_statistics"] = _moments(y)
    facts["tails"] = tails(y) if y is not None and y.is_floating_point() else None
    return facts


def _class_counts(y: Tensor | None, classes: int) -> tuple[int, ...] | None:
    """Rows (pixels, words) of each class; those without a label, or out of range, which `check_targets` names, left
    out."""
    if y is None or y.is_floating_point():
        return None
    return tuple(torch.bincount(y[(y >= 0) & (y < classes)], minlength=classes).tolist())


def _moments(y: Tensor | None) -> tuple[list[float], list[float]] | None:
    """Mean and standard deviation of each target over its rows that are not blank."""
    if y is None or not y.is_floating_point():
        return None
    columns = y.double().reshape(len(y), -1)
    given = torch.isfinite(columns)
    count = given.sum(dim=0).clamp(min=1)
    mean = columns.where(given, 0.0).sum(dim=0) / count
    variance = (columns - mean).where(given, 0.0).square().sum(dim=0) / count
    return mean.tolist(), variance.sqrt().tolist()


def targets_of(rows: Rows) -> Tensor | None:
    """All targets of a split that keeps them in memory."""
    y = getattr(rows, "tensors", {}).get("y", getattr(rows, "y", None))
    positions = getattr(rows, "positions", None)
    if not isinstance(y, Tensor):
        return None
    return y if positions is None else y.index_select(0, torch.as_tensor(positions))


def saved_splits(folder: Path) -> Splits | None:
    path = folder / "split.npz"
    return Splits.load(path) if path.is_file() else None
