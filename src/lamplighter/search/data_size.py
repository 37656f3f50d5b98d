"""The learning curve by data size: would more rows help?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lamplighter.core import files, seeding
from lamplighter.core.errors import DataError
from lamplighter.core.recipe import Recipe
from lamplighter.data.source import Source
from lamplighter.run import Run
from lamplighter.search.many import Part, train_parts

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
"""Of the training rows, when no sizes are given."""
_QUANTILE = 1.96  # of the 95% intervals of scores


@dataclass(frozen=True)
class Point:
    """Models that were trained on equally many rows.

    Attributes:
        rows: that each of them had.
        train: metric on rows it was trained on, one for each repeat.
        val: metric on the recipe's validation rows, one for each repeat.
        error: standard error of the mean of ``val``: by the repeats, or by the validation rows if that is more.
    """

    rows: int
    train: tuple[float, ...]
    val: tuple[float, ...]
    error: float


@dataclass(frozen=True)
class LearningCurve:
    """A metric against the number of training rows.

    Attributes:
        path: the folder, with a run for each training, ``learning-curve.json`` and ``report.html``.
        recipe: what was trained.
        metric: its ``train.monitor``.
        mode: ``min`` or ``max``.
        points: with rising numbers of rows.
        held_out: validation rows that all were judged on.
    """

    path: Path
    recipe: Recipe
    metric: str
    mode: str
    points: tuple[Point, ...]
    held_out: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-compatible data."""
        return {
            "path": str(self.path),
            "metric": self.metric,
            "mode": self.mode,
            "points": [asdict(point) for point in self.points],
            "held_out": self.held_out,
            "reading": self.reading,
        }

    @property
    def reading(self) -> str:
        """What the end of the curve says."""
        if len(self.points) < 2:
            return "one size makes no curve"
        before, last = (float(np.mean(point.val)) for point in self.points[-2:])
        gain = (last - before) if self.mode == "max" else (before - last)
        seen = float(np.mean(self.points[-1].train))
        gap = (seen - last) if self.mode == "max" else (last - seen)
        doubt = 2 * math.hypot(self.points[-2].error, self.points[-1].error)
        change = f"{gain:+.2g} ± {doubt:.2g} from {self.points[-2].rows:,} to {self.points[-1].rows:,} rows"
        if gain > doubt:
            return f"validation {self.metric} still gets better ({change}): more rows should help"
        flat = f"validation {self.metric} no longer gets clearly better ({change})"
        if gap > 2 * self.points[-1].error:
            return (
                f"{flat} and is {gap:.2g} worse than on the rows trained on: regularisation or augmentation may help "
                "more than some further rows"
            )
        return (
            f"{flat} and is as good as on the rows trained on: a larger model or better inputs may help more than rows"
        )

    def lines(self) -> list[str]:
        """For people."""
        rows = [
            f"{point.rows:>8,} rows  train {np.mean(point.train):.4f}  val {np.mean(point.val):.4f}"
            for point in self.points
        ]
        return [f"{self.metric} on {self.held_out:,} validation rows:", *rows, self.reading]


def learning_curve(
    recipe: Recipe | str | Path,
    sizes: Sequence[int] = (),
    repeats: int = 1,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    progress: bool = True,
) -> LearningCurve:
    """Train a recipe on more and more of its training rows, and judge each on its validation rows.

    Rows are drawn at random; a larger set holds the smaller ones of the same repeat. Each training takes the recipe's
    share of its rows for choosing its best epoch. Trainings on fewer rows have more epochs, so that all take about as
    many optimizer steps: with the recipe's epochs a small set would be judged half-trained. The test split stays shut.

    Args:
        recipe: a recipe, its file, or the name of a built-in one.
        sizes: numbers of rows; none for 10, 20, 40, 70 and 100 percent of the training rows.
        repeats: trainings of each size, with rows and seeds of their own.
        out: folder; by default the next free ``runs/<name>/learning-curve-<n>``.
        resume: go on in ``out``.
        progress: show a bar, or lines where there is no terminal.

    Raises:
        DataError: a size that is too small, or larger than the training split.
        InterruptedRunError: Ctrl-C or SIGTERM; the message has the command to resume.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    found: dict[int, tuple[list[float], list[float], list[float]]] = {}  # train, val, error of val; by rows
    monitored: list[tuple[str, str, int]] = []

    def parts(source: Source) -> list[Part]:
        train = source.splits.train
        asked = sorted(set(sizes)) or sorted({max(2, round(share * len(train))) for share in SHARES})
        if asked[0] < 2 or asked[-1] > len(train) or repeats < 1:
            raise DataError(
                f"sizes {asked[0]} to {asked[-1]}, {repeats} repeats: the training split has {len(train)} rows"
            )
        orders = [seeding.generator(recipe.seed, "learning curve", r).permutation(train) for r in range(repeats)]
        return [
            Part(f"rows-{size}-{r}", np.sort(order[:size]), recipe.seed + r - 1, f"{size:,} rows")
            for size in asked
            for r, order in enumerate(orders, start=1)
        ]

    def finished(part: Part, run: Run) -> str:
        monitor = run.recipe.train.monitor
        assert monitor is not None  # resolved
        metric, values = monitor.metric, found.setdefault(len(part.rows), ([], [], []))
        for split, known in zip(("train", "test"), values):
            task, outputs, positions = run.answers(split, again=True)
            known.append(float(task.metrics(outputs)[metric]))
        score = task.scores(outputs).get(metric)
        values[2].append((score.high - score.low) / (2 * _QUANTILE) if score else 0.0)
        monitored.append((metric, monitor.mode, len(positions)))
        return f"val {metric} {values[1][-1]:.4f}"

    folder = train_parts(
        "learning-curve",
        recipe,
        {"sizes": list(sizes), "repeats": repeats},
        f"lamp study learning-curve {{recipe}} --repeats {repeats}"
        + (f" --sizes {','.join(map(str, sizes))}" if sizes else ""),
        Path(out) if out is not None else None,
        resume,
        progress,
        parts,
        finished,
    )
    points = tuple(
        Point(rows, tuple(train), tuple(val), _error(val, errors))
        for rows, (train, val, errors) in sorted(found.items())
    )
    result = LearningCurve(folder, recipe, *monitored[0][:2], points, monitored[0][2])
    files.write_json(folder / "learning-curve.json", result.to_dict())
    from lamplighter.search.data_size_report import write_report

    write_report(folder / "report.html", result)
    return result


def _error(values: list[float], errors: list[float]) -> float:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return max(spread, float(np.mean(errors))) / math.sqrt(len(values))
