"""The parts of ``lamp evaluate`` that look closer: slices, metrics by name, and two models on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from lamplighter.cli import options
from lamplighter.core import registry, yaml
from lamplighter.core.errors import DataError, LamplighterError
from lamplighter.core.signature import Signature
from lamplighter.metrics import bootstrap
from lamplighter.metrics.base import Metric, inputs
from lamplighter.metrics.slices import Group, group, score_groups

if TYPE_CHECKING:
    from lamplighter.tasks.base import Task

_USUAL: dict[str, tuple[str, ...]] = {
    "category": ("accuracy", "f_beta", "log_loss"),
    "mask": ("mean_iou", "dice"),
    "tags": ("accuracy",),
    "entities": ("entity_f1", "accuracy"),
    "text": ("exact_match", "bleu"),
}
"""What is asked about a kind of target when nothing is named; of numbers ``mae`` and ``rmse``."""


@dataclass(frozen=True)
class Judged:
    """Answers of a model to labelled rows.

    Attributes:
        about: which rows, for people.
        outputs: as `lamplighter.metrics.base.inputs` takes them.
        columns: values of the columns asked for.
        signature: of the data.
        rows: something that is equal for two models that answered the same rows.
        seed: of the intervals.
        task: of a run; it knows best what a metric takes.
    """

    about: str
    outputs: dict[str, np.ndarray]
    columns: dict[str, list[Any]]
    signature: Signature
    rows: Any
    seed: int
    task: Task | None = None

    def of(self, metric: Metric) -> tuple[Any, Any]:
        """Predictions and truth as a metric takes them.

        Raises:
            DataError: there is nothing of the kind.
        """
        if self.task is not None:
            return self.task.metric_inputs(metric.takes, self.outputs)
        return inputs(metric.takes, self.outputs, self.signature.labels)


def look_closer(
    path: Path,
    data: Path | None,
    split: str | None,
    again: bool,
    by: Sequence[str],
    metrics: Sequence[str],
    against: Path | None,
    json: bool,
    quiet: bool,
) -> None:
    """Print slices by the columns ``by``, or the difference to the model ``against``, or the metrics by themselves.

    Args:
        path: a run or a bundle.
        data: labelled rows for a bundle.
        split: of a run; the validation split when left out.
        again: open the test split once more.
        by: columns.
        metrics: names of the catalog, or mappings with parameters, as YAML.
        against: another run or bundle.
        json: print JSON.
        quiet: no progress bar.

    Raises:
        LamplighterError: a column, a metric or a model that does not fit.
    """
    if by and against is not None:
        raise LamplighterError("--by and --against are two questions; ask one at a time")
    judged = _judge(path, data, split, again, by, quiet)
    chosen = [_metric(text) for text in metrics] or _usual(judged, by)
    for metric in chosen:
        _fits(metric, judged)
    if by:
        _print_slices(judged, chosen, json)
    elif against is not None:
        _print_comparison(judged, _judge(against, data, split, again, (), quiet), chosen, path, against, json)
    else:
        _print_metrics(judged, chosen, json)


def _judge(path: Path, data: Path | None, split: str | None, again: bool, by: Sequence[str], quiet: bool) -> Judged:
    is_run = (path / "recipe.yaml").is_file()
    if is_run and data is None:
        return _judge_run(path, split or "val", again, by)
    if split is not None:
        raise LamplighterError("--split is for run directories; a bundle has no rows")
    if data is None:
        raise LamplighterError(f"{path}: a bundle has no rows of its own; give labelled ones with --data")
    from lamplighter.bundle.runtime import load_bundle
    from lamplighter.bundle.runtime.evaluation import judge_file

    bundle = load_bundle(path / "bundle" if is_run else path)
    found = judge_file(bundle, data, by, progress=not quiet)
    seed = int(bundle.manifest.recipe.get("seed", 0))
    return Judged(f"on {data}", found.outputs, found.columns, bundle.manifest.signature, str(data), seed)


def _judge_run(path: Path, split: str, again: bool, by: Sequence[str]) -> Judged:
    from lamplighter.data.leakage.finding import rows_of
    from lamplighter.run import Run

    if split not in ("train", "val", "test"):
        raise LamplighterError(f"--split {split}: must be train, val or test")
    run = Run(path)
    source = run.source()
    known = [column.name for column in source.signature.inputs]
    for name in by:
        if name not in known:
            hint = registry.did_you_mean(name, known)
            raise DataError(f"--by {name}: the model takes in no such column{hint}; it takes {', '.join(known)}")
    task, outputs, positions = run.answers(split, again)
    rows = source.raw(split, positions) if by else []
    columns = {name: [row[name] if isinstance(row, dict) else row for row in rows] for name in by}
    about = {"val": "on the validation split, which chose the weights", "train": "on the training split"}
    where = (rows_of(source)[split][positions].tolist(), outputs.get("y", positions).tolist())
    said = about.get(split, "on the test split")
    return Judged(said, outputs, columns, source.signature, where, run.recipe.seed, task)


def _metric(text: str) -> Metric:
    """``f_beta`` or ``{name: f_beta, beta: 2}``."""
    value = yaml.parse_value(text)
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise LamplighterError(f"--metric {text}: write a name, or {{name: f_beta, beta: 2}}")
    built: Metric = registry.build("metric", value["name"], {key: v for key, v in value.items() if key != "name"})
    return built


def _usual(judged: Judged, by: Sequence[str]) -> list[Metric]:
    kind = judged.signature.targets[0].kind
    if kind == "tags" and any(label.startswith("B-") for label in judged.signature.labels):
        kind = "entities"  # type: ignore[assignment]
    if kind == "tokens":
        raise LamplighterError(
            "a language model is judged by sums over tokens, not row by row: 'lamp evaluate RUN' or '--split val' tell "
            "its perplexity; --by, --metric and --against are for other tasks"
        )
    names = _USUAL.get(kind, ("mae", "rmse"))
    return [registry.build("metric", name, {}) for name in (names[:1] if by else names)]


def _fits(metric: Metric, judged: Judged) -> None:
    try:
        judged.of(metric)
    except DataError as error:
        raise LamplighterError(f"--metric {metric.key}: {error}") from None


def _print_slices(judged: Judged, metrics: list[Metric], json: bool) -> None:
    groups = [each for name, values in judged.columns.items() for each in _groups(name, values, judged.signature)]
    found = [(metric, score_groups(metric, *judged.of(metric), groups, judged.seed)) for metric in metrics]
    if json:
        options.print_json(
            [
                {
                    "metric": metric.key,
                    "column": each.column,
                    "value": each.value,
                    "score": each.score.model_dump(),
                    "rest": None if np.isnan(each.rest) else each.rest,
                    "p_value": each.p_value,
                    "worse": each.worse,
                }
                for metric, slices in found
                for each in slices
            ]
        )
        return
    for metric, slices in found:
        typer.echo(f"{metric.key} {judged.about}, by {', '.join(judged.columns)}:")
        if not slices:
            typer.echo("  no slice has enough rows to say anything")
        names = [f"{each.column}: {each.value}" if len(judged.columns) > 1 else each.value for each in slices]
        width = max(map(len, names), default=0)
        for name, each in zip(names, slices):
            verdict = f"  worse than the rest (p {each.p_value:.3f})" if each.worse else ""
            typer.echo(f"  {name:<{width}}  {each.score}  others {each.rest:.4f}{verdict}")


def _groups(name: str, values: list[Any], signature: Signature) -> list[Group]:
    kinds = {column.name: column.kind for column in signature.inputs}
    if kinds.get(name) in ("image", "array"):
        raise DataError(f"--by {name}: rows are not told apart by an {kinds[name]}; name a column of a table")
    truth = kinds.get(name) == "boolean"
    return group(name, [bool(value) if truth and value in (0, 1) else value for value in values])


def _print_comparison(
    first: Judged, second: Judged, metrics: list[Metric], path: Path, against: Path, json: bool
) -> None:
    same = first.signature.labels == second.signature.labels and len(first.signature.targets) == len(
        second.signature.targets
    )
    if not same or first.rows != second.rows:
        raise LamplighterError(f"{path} and {against} were not asked the same rows; only then can they be compared")
    found = {}
    for metric in metrics:
        (ours, y), (theirs, _) = (judged.of(metric) for judged in (first, second))
        found[metric.key] = bootstrap.compare(metric, ours, theirs, y, seed=first.seed)
    if json:
        options.print_json({name: vars(comparison) for name, comparison in found.items()})
        return
    typer.echo(f"{path} against {against} {first.about}:")
    width = max(map(len, found))
    for name, each in found.items():
        interval = (
            f"{each.level:.0%} interval {each.low:+.4f} to {each.high:+.4f}, p {each.p_value:.3f}, n = {each.n:,}"
        )
        typer.echo(
            f"  {name:<{width}}  {each.first:.4f} against {each.second:.4f}: {each.difference:+.4f} ({interval})"
        )


def _print_metrics(judged: Judged, metrics: list[Metric], json: bool) -> None:
    found = {metric.key: bootstrap.score(metric, *judged.of(metric), seed=judged.seed) for metric in metrics}
    if json:
        options.print_json({name: score.model_dump() if score else None for name, score in found.items()})
        return
    undefined = "not defined on these rows"
    options.print_scores(f"Scores {judged.about}:", {name: score or undefined for name, score in found.items()})
