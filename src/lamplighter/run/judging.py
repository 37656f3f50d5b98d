"""Judges the best weights of a training: temperature, threshold, scores.json and report.html."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lamplighter.core import files, registry
from lamplighter.core.errors import InterruptedRunError
from lamplighter.core.recipe import Recipe
from lamplighter.data.source import Source
from lamplighter.metrics import thresholds
from lamplighter.metrics.calibration import fit_temperature, softmax
from lamplighter.tasks.base import Task, every_score
from lamplighter.train import checkpoint, run_folder
from lamplighter.train.evaluation import evaluate
from lamplighter.train.metrics_log import MetricsLog
from lamplighter.train.progress import NoProgress
from lamplighter.train.signals import StopRequest
from lamplighter.train.trainer import Trainer


def calibrated(
    outputs: dict[str, np.ndarray], temperature: float, threshold: float | None = None, positive: int = 1
) -> dict[str, np.ndarray]:
    """Outputs with logits divided by the temperature, and ``answers`` by the threshold: what the bundle will answer."""
    if "logits" not in outputs:
        return outputs
    outputs = {**outputs, "logits": outputs["logits"] / temperature}
    if threshold is None:
        return outputs
    return {**outputs, "answers": thresholds.answers(softmax(outputs["logits"]), threshold, positive)}


def _fit_threshold(recipe: Recipe, task: Task, val: dict[str, np.ndarray]) -> float | None:
    """The threshold that the recipe's criterion chooses on calibrated validation rows; None without one."""
    if recipe.bundle.threshold is None:
        return None
    criterion = registry.build("threshold", recipe.bundle.threshold.name, recipe.bundle.threshold.params)
    return float(criterion(softmax(val["logits"])[:, task.positive], val["y"] == task.positive))


def log_test_opened(folder: Path, rows: int) -> None:
    """Note in the diary that somebody looks at the test split; each look makes its scores a little less honest."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    MetricsLog(folder / "metrics.jsonl").append({"event": "test_opened", "time": now, "n": rows})


def finish(recipe: Recipe, source: Source, task: Task, trainer: Trainer, judge: bool) -> None:
    """Load the best weights into ``task`` and `conclude`."""
    folder = trainer.folder
    checkpoint.load_model(folder / "checkpoints" / "best", task)
    where = "validation and the test split" if judge else "validation split"
    trainer.progress.message(f"judging epoch {trainer.state.best_epoch}, the best, on the {where}")
    try:
        conclude(folder, recipe, source, task, trainer.device, trainer.progress, trainer.stop, judge)
    except InterruptedRunError as error:
        raise InterruptedRunError(
            f"stopped before the report; the training is saved; go on with: {run_folder.resume_command(folder)}",
            error.exit_code - 128,
        ) from None
    trainer.log.append({"event": "finished", "best_epoch": trainer.state.best_epoch})


def conclude(
    folder: Path,
    recipe: Recipe,
    source: Source,
    task: Task,
    device: torch.device,
    progress: NoProgress,
    stop: StopRequest,
    judge: bool = True,
) -> None:
    """Judge a trained task and write scores.json and report.html.

    Args:
        folder: of the run.
        recipe: resolved.
        source: the data.
        task: on ``device``, with the weights to judge.
        device: where to compute.
        progress: hears of the report.
        stop: ends the evaluation with `InterruptedRunError`.
        judge: open the test split and write the report.
    """
    from lamplighter.evaluate import overfitting
    from lamplighter.evaluate.comparison import compare
    from lamplighter.evaluate.report import write_report
    from lamplighter.evaluate.written import lines

    rows = 2 * recipe.data.batch_size
    val, _ = evaluate(task, source.split("val"), rows, device, stop=stop)
    fits = recipe.bundle.calibrate and "logits" in val
    temperature = fit_temperature(val["logits"], val["y"]) if fits else 1.0
    threshold, positive = _fit_threshold(recipe, task, calibrated(val, temperature)), task.positive
    scores = {"val": every_score(task, calibrated(val, temperature, threshold, positive))}
    found: dict[str, Any] = {"temperature": temperature, "threshold": threshold, "positive": positive}
    if judge:
        fitted = overfitting.judge(task, source.split("train"), val, rows, device, recipe.seed)
        found["overfitting"] = fitted.to_dict() if fitted else None
        log_test_opened(folder, len(source.split("test")))
        test, positions = evaluate(task, source.split("test"), rows, device, stop=stop)
        scores["test"] = every_score(task, calibrated(test, temperature, threshold, positive))
        metric = recipe.train.monitor.metric if recipe.train.monitor else task.monitor[0]
        comparison = compare(
            task, source, test, scores["test"], metric=metric, batch_size=rows, device=device, calibrate=fits
        )
        found["compared"] = comparison.to_dict() if comparison else None
    plain = {split: {name: score.model_dump() for name, score in each.items()} for split, each in scores.items()}
    files.write_json(folder / "scores.json", {**found, **plain})
    if judge:
        shown = task.shown(source)
        write_report(
            folder / "report.html",
            recipe=recipe.to_dict(),
            history=MetricsLog(folder / "metrics.jsonl").read(),
            outputs=test,
            scores=scores["test"],
            signature=source.signature,
            raw=lambda indices: source.raw("test", positions[indices]),
            temperature=temperature,
            validation=val,
            threshold=threshold,
            positive=positive,
            comparison=comparison,
            fitted=fitted,
            kind=task.kind,
            extra={"positions": positions, **shown},
        )
        said = [*(comparison.lines() if comparison else []), *(fitted.lines() if fitted else []), *lines(shown)]
        for line in [*said, f"report: {folder / 'report.html'}"]:
            progress.message(line)
