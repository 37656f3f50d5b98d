"""`fit`: from a recipe, or a network and arrays, to a finished run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lamplighter.core.errors import LamplighterError
from lamplighter.core.recipe import Recipe
from lamplighter.data.leakage import duplicates
from lamplighter.data.source import Source
from lamplighter.data.splits import Splits
from lamplighter.run import own
from lamplighter.run.build import build_task, make_trainer, saved_splits, source_of
from lamplighter.run.directory import Run
from lamplighter.run.judging import finish
from lamplighter.run.resolve import found_rate, resolve
from lamplighter.tasks.base import Task
from lamplighter.train import rng, run_folder, transfer
from lamplighter.train.callbacks.base import Callback
from lamplighter.train.device import resolve_device, resolve_threads
from lamplighter.train.diagnostics.batch_norm import batch_norm_notes
from lamplighter.train.distributed import group
from lamplighter.train.distributed.strategy import Strategy
from lamplighter.train.metrics_log import MetricsLog
from lamplighter.train.progress import make_progress
from lamplighter.train.signals import StopRequest


def fit(
    recipe: Recipe | str | Path | None = None,
    out: Path | str | None = None,
    *,
    model: nn.Module | None = None,
    task: str | Mapping[str, Any] | None = None,
    data: Any = None,
    resume: bool = False,
    force: bool = False,
    more_epochs: int = 0,
    progress: bool = True,
    callbacks: Sequence[Callback | Mapping[str, Any]] = (),
    splits: Splits | None = None,
    source: Source | None = None,
    judge: bool = True,
    **settings: Any,
) -> Run:
    """Train, choose the best weights, judge them once on the test split, and write a report.

    Started several times by torchrun (or whatever sets its variables), the processes train one model together; the
    first of them writes the run.

    Args:
        recipe: a recipe, its file, or the name of a built-in one.
        out: the run's directory; by default the next free number under ``runs/<name>``.
        model: instead of a recipe, a network of one's own. It is trained in place and ends with the best weights.
        task: with ``model``: a task's name, or ``{"name": ..., **parameters}``; by default what the targets ask for.
        data: with ``model``: arrays ``(x, y)``, or three pairs ``{"train": (x, y), "val": ..., "test": ...}``; see
            `lamplighter.data.sources.arrays.Arrays`.
        resume: go on with an interrupted run, bit for bit as if it had not been interrupted.
        force: replace the run that is in ``out``.
        more_epochs: train a finished run for so many epochs more; the schedule starts over.
        progress: show a progress bar, or lines where there is no terminal.
        callbacks: objects that follow the training, after those of the recipe, or ``{"name": ..., **parameters}`` to
            add to the recipe's; a resume needs the same.
        splits: which rows train, choose and judge, instead of the split that the recipe makes.
        source: the recipe's data, already built; saves reading it again. It brings its own splits.
        judge: open the test split and write the report; without, the run has validation scores only.
        **settings: with ``model``: ``name``, ``seed``, ``batch_size``, ``labels``, and everything of a recipe's
            ``train`` section, such as ``epochs=5`` or ``optimizer={"name": "sgd", "lr": 0.1}``.

    Raises:
        LamplighterError: anything wrong with recipe, data or directory; a loss that is not finite; too little memory.
        InterruptedRunError: Ctrl-C or SIGTERM; a checkpoint is written and the message has the command to resume.
    """
    asked, source = _asked(recipe, source, model, task, data, settings)
    named = [callback for callback in callbacks if isinstance(callback, Mapping)]
    if named:
        train = {**asked.train.model_dump(mode="json"), "callbacks": [*asked.to_dict()["train"]["callbacks"], *named]}
        asked = asked.with_(train=train)
    followers = [callback for callback in callbacks if not isinstance(callback, Mapping)]
    with group.joined(asked.train.strategy, asked.device) as strategy:
        wanted = Path(out) if out is not None else None
        opened = json.loads(strategy.once(lambda: _open(asked, wanted, resume, force, more_epochs)))
        folder, resumed = Path(opened["folder"]), opened["resumed"]
        run, shown = Run(folder, model, source), make_progress(progress and strategy.main)
        if resumed and run.finished:
            shown.message(f"{folder}: this run is finished; its report is {folder / 'report.html'}")
            return run
        if resume and not resumed:
            shown.message(f"{folder}: nothing to resume, training starts at the beginning")
        chosen = Recipe.load(folder / "recipe.yaml") if resumed else asked
        begun = run_folder.withdrawn_unless_begun(folder) if strategy.main else nullcontext()
        with begun, StopRequest() as stop, rng.untouched(), threads_of(chosen) as threads:
            source = source_of(chosen, saved_splits(folder) if resumed else splits, source)
            trained = build_task(chosen, source, model, followers)
            loaded, chosen = transfer.begin_or_go_on(trained, chosen, folder)
            if not resumed:
                text = strategy.once(partial(_resolve, chosen, source, trained, threads, folder))
                chosen = Recipe.parse(text)
                if strategy.main:
                    _begin(folder, loaded)
            for line in _notes(chosen, source, trained, folder, loaded, strategy, judge):
                shown.message(line)
            trainer = make_trainer(chosen, source, trained, folder, shown, stop, strategy, followers)
            trainer.fit()
            if strategy.world == 1:
                finish(chosen, source, trained, trainer, judge)
    if strategy.world > 1 and strategy.main:  # the others have gone
        with StopRequest() as trainer.stop, rng.untouched():
            finish(chosen, source, build_task(chosen, source, model).to(trainer.device), trainer, judge)
    return run


def _resolve(recipe: Recipe, source: Source, task: Task, threads: int, folder: Path) -> str:
    """The resolved recipe as JSON, which is YAML too."""
    return json.dumps(resolve(recipe, source, task, threads, folder).to_dict())


def _begin(folder: Path, loaded: transfer.LoadReport | None) -> None:
    """Training begins: the run that this one replaces goes, and the diary says what weights it starts from."""
    run_folder.discard_replaced(folder)
    if loaded is not None:
        MetricsLog(folder / "metrics.jsonl").append({"event": "transfer", "step": 0, **loaded.to_dict()})


def _notes(
    recipe: Recipe,
    source: Source,
    task: Task,
    folder: Path,
    loaded: transfer.LoadReport | None,
    strategy: Strategy,
    judge: bool,
) -> list[str]:
    """What a person should know before training starts."""
    rows = len(source.split("train"))
    notes: list[str] = [*getattr(source, "notes", [])]
    copies = duplicates.note(source) if judge and strategy.main else None
    notes += [copies] if copies else []
    notes += [*task.notes, *([str(loaded)] if loaded else [])]
    notes += batch_norm_notes(task, recipe.data.batch_size, recipe.train.accumulate, strategy.world, rows=rows)
    return [*notes, *found_rate(recipe, folder), _headline(recipe, source, folder)]


def _asked(
    recipe: Recipe | str | Path | None,
    source: Source | None,
    model: nn.Module | None,
    task: str | Mapping[str, Any] | None,
    data: Any,
    settings: Mapping[str, Any],
) -> tuple[Recipe, Source | None]:
    """The recipe of a call of `fit`, and the data where the call brings it."""
    if model is not None:
        if recipe is not None:
            raise LamplighterError("fit: give a recipe, or model and data, not both")
        return own.describe(model, task, data, settings)
    if task is not None or data is not None or settings:
        given = next(iter([*settings, *(["task"] if task is not None else []), "data"]))
        raise LamplighterError(f"fit: '{given}' goes with model=...; with a recipe it stands in the recipe")
    if recipe is None:
        raise LamplighterError("fit: give a recipe, or model=... and data=(x, y)")
    return recipe if isinstance(recipe, Recipe) else Recipe.load(recipe), source


def _open(recipe: Recipe, out: Path | None, resume: bool, force: bool, more_epochs: int) -> str:
    """The run's folder, and whether there is something in it to go on from; as JSON."""
    folder, resolved = run_folder.open_folder(recipe, out, resume or more_epochs > 0, force)
    if more_epochs:
        run_folder.extend(folder, resolved, more_epochs)
    return json.dumps({"folder": str(folder), "resumed": resolved is not None})


@contextmanager
def threads_of(recipe: Recipe) -> Iterator[int]:
    """Compute with the recipe's number of threads, then with as many as before."""
    before = torch.get_num_threads()
    threads = resolve_threads(recipe.threads, resolve_device(recipe.device))
    torch.set_num_threads(threads)
    try:
        yield threads
    finally:
        torch.set_num_threads(before)


def _headline(recipe: Recipe, source: Source, folder: Path) -> str:
    how = f"{recipe.device}, {recipe.threads} thread{'s' if recipe.threads != 1 else ''}, {recipe.train.precision}"
    layout = " channels_last" if recipe.train.channels_last else ""
    rows = len(source.split("train"))
    return f"{recipe.model.name} on {recipe.data.name}: {rows:,} training rows, {how}{layout}, into {folder}"
