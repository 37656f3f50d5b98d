"""`fit` trains what a recipe describes; `Run` is the directory it leaves behind."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lamplighter.core import files, registry
from lamplighter.core.errors import DataError, InterruptedRunError, RunError
from lamplighter.core.recipe import Monitored, Recipe
from lamplighter.data.source import Rows, Source
from lamplighter.data.splits import Splits
from lamplighter.metrics.calibration import fit_temperature
from lamplighter.metrics.score import Score
from lamplighter.tasks.base import Task
from lamplighter.train import checkpoint, memory, precision, rng, run_folder
from lamplighter.train.device import resolve_device, resolve_threads
from lamplighter.train.evaluation import evaluate, to_device
from lamplighter.train.metrics_log import MetricsLog
from lamplighter.train.progress import NoProgress, make_progress
from lamplighter.train.signals import StopRequest
from lamplighter.train.trainer import Trainer

if TYPE_CHECKING:
    from lamplighter.bundle.runtime import Bundle


def fit(
    recipe: Recipe | str | Path,
    out: Path | str | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    progress: bool = True,
) -> Run:
    """Train, choose the best epoch, judge it once on the test split, and write a report.

    Args:
        recipe: a recipe, its file, or the name of a built-in one.
        out: the run's directory; by default the next free number under ``runs/<name>``.
        resume: go on with an interrupted run, bit for bit as if it had not been interrupted.
        force: replace the run that is in ``out``.
        progress: show a progress bar, or lines where there is no terminal.

    Raises:
        LamplighterError: anything wrong with recipe, data or directory; a loss that is not finite; too little memory.
        InterruptedRunError: Ctrl-C or SIGTERM; a checkpoint is written and the message has the command to resume.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    folder, resolved = run_folder.open_folder(recipe, Path(out) if out is not None else None, resume, force)
    shown = make_progress(progress)
    run = Run(folder)
    if resolved is not None and run.finished:
        shown.message(f"{folder}: this run is finished; its report is {folder / 'report.html'}")
        return run
    begun, threads_set = run_folder.withdrawn_unless_begun(folder), _threads(resolved or recipe)
    with begun, StopRequest() as stop, rng.untouched(), threads_set as threads:
        source = build_source(resolved or recipe, _saved_splits(folder) if resolved else None)
        task = build_task(resolved or recipe, source)
        if resolved is None:
            resolved = _resolve(recipe, source, task, threads, folder)
            run_folder.discard_replaced(folder)
        for line in [*getattr(source, "notes", []), _headline(resolved, source, folder)]:
            shown.message(line)
        trainer = _trainer(resolved, source, task, folder, shown, stop)
        trainer.fit()
        _finish(resolved, source, trainer, shown)
    return run


class Run:
    """A run's directory: resolved recipe, diary, checkpoints, scores and report.

    Args:
        path: the directory, as `fit` or ``lamp train`` made it.

    Attributes:
        path: the directory.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not (self.path / "recipe.yaml").is_file() and not (self.path / run_folder.REQUESTED).is_file():
            raise RunError(f"{self.path}: not a run directory (no recipe.yaml in it)")

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @functools.cached_property
    def recipe(self) -> Recipe:
        """With every default and decision written out."""
        return Recipe.load(self.path / "recipe.yaml")

    @property
    def history(self) -> list[dict[str, Any]]:
        """Records of metrics.jsonl."""
        return MetricsLog(self.path / "metrics.jsonl").read()

    @property
    def finished(self) -> bool:
        """Whether training and evaluation came to their end."""
        return any(record.get("event") == "finished" for record in self.history)

    @property
    def metrics(self) -> dict[str, Score]:
        """Scores of the best weights on the test split."""
        return {name: Score.model_validate(score) for name, score in self._scores["test"].items()}

    @property
    def temperature(self) -> float:
        """What logits are divided by before the softmax; 1 when not calibrated."""
        return float(self._scores["temperature"])

    def source(self) -> Source:
        """The data the run was trained on, in the same splits."""
        return self._source

    def task(self) -> Task:
        """The task with the best weights, on the CPU, in eval mode."""
        task = build_task(self.recipe, self.source())
        best = self.path / "checkpoints" / "best"
        if not checkpoint.exists(best):
            raise RunError(f"{self.path}: has no checkpoint yet; go on with: {run_folder.resume_command(self.path)}")
        checkpoint.load_model(best, task)
        return task.eval()

    def evaluate(self, split: str = "val") -> dict[str, Score]:
        """Scores of the best weights on a split, with n and 95% interval. Opening the test split is logged.

        Args:
            split: ``train``, ``val`` or ``test``.
        """
        rows, task = self.source().split(split), self.task()
        if split == "test":
            log_test_opened(self.path, len(rows))
        outputs, _ = evaluate(task, rows, 2 * self.recipe.data.batch_size, torch.device("cpu"))
        return task.scores(calibrated(outputs, self.temperature))

    def export(self, **options: Any) -> Bundle:
        """Write ``bundle/`` in the run's directory and load it.

        Args:
            **options: of `lamplighter.bundle.export.export_bundle`, for instance ``version="7"``.

        Raises:
            BundleError: the bundle does not compute what was trained; nothing is written.
        """
        from lamplighter.bundle.export import export_bundle
        from lamplighter.bundle.runtime import load_bundle

        number = self.path.resolve().name
        settings: dict[str, Any] = {
            "out": self.path / "bundle",
            "recipe": self.recipe.to_dict(),
            "scores": self.metrics,
            "temperature": self.temperature,
            "version": self.recipe.bundle.version or (number if number.isdigit() else "1"),
            **options,
        }
        return load_bundle(export_bundle(task=self.task(), source=self.source(), **settings))

    @functools.cached_property
    def _source(self) -> Source:
        return build_source(self.recipe, _saved_splits(self.path))

    @functools.cached_property
    def _scores(self) -> dict[str, Any]:
        path = self.path / "scores.json"
        if not path.is_file():
            raise RunError(
                f"{self.path}: training has not finished; go on with: {run_folder.resume_command(self.path)}"
            )
        try:
            scores: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return {"temperature": float(scores["temperature"]), "test": dict(scores["test"])}
        except (ValueError, KeyError, TypeError):
            raise RunError(f"{path}: damaged; train again with --force, or restore the file") from None


def build_source(recipe: Recipe, splits: Splits | None = None) -> Source:
    """The recipe's data, in the given splits or new ones."""
    source: Source = registry.build(
        "source", recipe.data.name, recipe.data.params, {"seed": recipe.seed, "splits": splits}
    )
    return source


def build_task(recipe: Recipe, source: Source) -> Task:
    """The recipe's task with its model, freshly initialised: the same seed gives the same weights."""
    facts = {**source.signature.facts(), "seed": recipe.seed, "splits": source.splits, **_statistics(source)}
    with rng.untouched():
        rng.seed_all(recipe.seed, "init")
        facts["model"] = registry.build("model", recipe.model.name, recipe.model.params, facts)
        task = registry.build("task", recipe.task.name, recipe.task.params, facts)
    if not isinstance(task, Task) or not isinstance(facts["model"], nn.Module):
        raise DataError(f"model '{recipe.model.name}' must be an nn.Module and task '{recipe.task.name}' a Task")
    return task


def calibrated(outputs: dict[str, np.ndarray], temperature: float) -> dict[str, np.ndarray]:
    """Outputs with logits divided by the temperature: what the bundle will answer."""
    if "logits" not in outputs:
        return outputs
    return {**outputs, "logits": outputs["logits"] / temperature}


def log_test_opened(folder: Path, rows: int) -> None:
    """Note in the diary that somebody looks at the test split; each look makes its scores a little less honest."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    MetricsLog(folder / "metrics.jsonl").append({"event": "test_opened", "time": now, "n": rows})


def _resolve(recipe: Recipe, source: Source, task: Task, threads: int, folder: Path) -> Recipe:
    """Decide what the recipe leaves open, and write it down: from now on nothing is measured again."""
    device = resolve_device(recipe.device)
    train, rows = recipe.train, source.split("train")
    targets = _targets(rows)
    if targets is not None:
        task.check_targets(targets)
    batch = to_device(rows.fetch(np.arange(min(recipe.data.batch_size, len(rows)))), device)
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
    monitor = train.monitor or Monitored.model_validate(dict(zip(("metric", "mode"), task.monitor)))
    decided = {"precision": chosen.name, "channels_last": chosen.channels_last, "monitor": monitor}
    resolved = recipe.with_(
        device=str(device),
        threads=threads,
        data=recipe.data.replace(**source.resolved()),
        train=train.model_copy(update=decided),
    )
    source.splits.save(folder / "split.npz")
    resolved.save(folder / "recipe.yaml")
    return resolved


def _trainer(
    recipe: Recipe, source: Source, task: Task, folder: Path, progress: NoProgress, stop: StopRequest
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
        device=resolve_device(recipe.device),
        folder=folder,
        augment=[registry.build("augment", augment.name, augment.params) for augment in recipe.augment],
        progress=progress,
        stop=stop,
    )
    rng.seed_all(recipe.seed, "train")
    if not trainer.resume():
        trainer.log.truncate(sum(record["event"] == "precision" for record in trainer.log.read()))
    return trainer


def _finish(recipe: Recipe, source: Source, trainer: Trainer, progress: NoProgress) -> None:
    """Judge the best weights and write it all down."""
    from lamplighter.evaluate.report import write_report

    folder, task, rows = trainer.folder, trainer.task, 2 * recipe.data.batch_size
    checkpoint.load_model(folder / "checkpoints" / "best", task)
    progress.message(f"judging epoch {trainer.state.best_epoch}, the best, on the validation and the test split")
    try:
        val, _ = evaluate(task, source.split("val"), rows, trainer.device, stop=trainer.stop)
        log_test_opened(folder, len(source.split("test")))
        test, positions = evaluate(task, source.split("test"), rows, trainer.device, stop=trainer.stop)
    except InterruptedRunError as error:
        raise InterruptedRunError(
            f"stopped before the report; the training is saved; go on with: {run_folder.resume_command(folder)}",
            error.exit_code - 128,
        ) from None
    fits = recipe.bundle.calibrate and "logits" in val
    temperature = fit_temperature(val["logits"], val["y"]) if fits else 1.0
    scores = {"val": task.scores(calibrated(val, temperature)), "test": task.scores(calibrated(test, temperature))}
    plain = {split: {name: score.model_dump() for name, score in each.items()} for split, each in scores.items()}
    files.write_json(folder / "scores.json", {"temperature": temperature, **plain})
    write_report(
        folder / "report.html",
        recipe=recipe.to_dict(),
        history=trainer.log.read(),
        outputs=test,
        scores=scores["test"],
        signature=source.signature,
        raw=lambda indices: source.raw("test", positions[indices]),
        temperature=temperature,
    )
    trainer.log.append({"event": "finished", "best_epoch": trainer.state.best_epoch})
    progress.message(f"report: {folder / 'report.html'}")


def _statistics(source: Source) -> dict[str, Any]:
    """Mean and deviation of inputs and targets over the training split, where the source gives them."""
    facts: dict[str, Any] = {"input_statistics": None, "target_statistics": None}
    if hasattr(source, "statistics"):
        facts["input_statistics"] = source.statistics().get(source.signature.tensors[0].name)
    if source.signature.labels:
        return facts
    if hasattr(source, "target_statistics"):
        facts["target_statistics"] = source.target_statistics()
    else:
        facts["target_statistics"] = _moments(_targets(source.split("train")))
    return facts


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


def _targets(rows: Rows) -> Tensor | None:
    """All targets of a split that keeps them in memory."""
    y = getattr(rows, "tensors", {}).get("y", getattr(rows, "y", None))
    positions = getattr(rows, "positions", None)
    if not isinstance(y, Tensor):
        return None
    return y if positions is None else y.index_select(0, torch.as_tensor(positions))


def _saved_splits(folder: Path) -> Splits | None:
    path = folder / "split.npz"
    return Splits.load(path) if path.is_file() else None


def _headline(recipe: Recipe, source: Source, folder: Path) -> str:
    how = f"{recipe.device}, {recipe.threads} thread{'s' if recipe.threads != 1 else ''}, {recipe.train.precision}"
    layout = " channels_last" if recipe.train.channels_last else ""
    rows = len(source.split("train"))
    return f"{recipe.model.name} on {recipe.data.name}: {rows:,} training rows, {how}{layout}, into {folder}"


@contextmanager
def _threads(recipe: Recipe) -> Iterator[int]:
    """Compute with the recipe's number of threads, then with as many as before."""
    before = torch.get_num_threads()
    threads = resolve_threads(recipe.threads, resolve_device(recipe.device))
    torch.set_num_threads(threads)
    try:
        yield threads
    finally:
        torch.set_num_threads(before)
