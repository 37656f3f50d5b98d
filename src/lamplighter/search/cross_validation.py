"""Cross-validation of a recipe: every fold is a run of its own, all of it fitted anew; the test split stays shut."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lamplighter.core import files, seeding
from lamplighter.core.errors import DataError, InterruptedRunError, RecipeError
from lamplighter.core.recipe import Recipe
from lamplighter.data.folds import Fold, folds_of
from lamplighter.data.source import Source
from lamplighter.data.split_rules import SplitKeys
from lamplighter.data.splits import Splits
from lamplighter.evaluate.cross_validation import FoldedScore, summarise
from lamplighter.metrics.score import Score
from lamplighter.run import Run, build_source, fit
from lamplighter.search import folder as folders
from lamplighter.search.progress import Following, ManyProgress

_CHUNK = 4096


@dataclass(frozen=True)
class FoldResult:
    """One fold.

    Attributes:
        number: counting from 1, over all repeats.
        repeat: counting from 1.
        path: its run.
        scores: on its held-out rows.
        train: rows that were trained on.
        val: rows that chose the epoch and the temperature.
        held_out: rows that judged.
        best_epoch: that the rows chose.
        values: found by the fold's own search; empty without one.
    """

    number: int
    repeat: int
    path: Path
    scores: dict[str, Score]
    train: int
    val: int
    held_out: int
    best_epoch: int
    values: dict[str, Any]


@dataclass(frozen=True)
class CrossValidation:
    """The scores of a recipe over several folds.

    Attributes:
        path: the folder of its runs.
        recipe: what was trained.
        metric: the score that decides which epoch is best.
        folds: in order.
        scores: by metric.
        repeats: how often the rows were divided.
        nested: whether every fold made a hyper-parameter search of its own.
    """

    path: Path
    recipe: Recipe
    metric: str
    folds: tuple[FoldResult, ...]
    scores: dict[str, FoldedScore]
    repeats: int
    nested: bool

    @property
    def description(self) -> str:
        """What was done, in a sentence."""
        each = len(self.folds) // self.repeats
        often = f", repeated {self.repeats} times" if self.repeats > 1 else ""
        searched = ", with a search in every fold" if self.nested else ""
        return f"{each} folds{often}{searched}; the test split was not opened"

    @property
    def about_interval(self) -> str:
        """Which interval it is, and what it leaves out."""
        return (
            f"Corrected resampled t interval (Nadeau and Bengio 2003) from {len(self.folds)} folds: it is wider than "
            "the plain one, since folds share training rows"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-compatible data."""
        plain = ("number", "repeat", "train", "val", "held_out", "best_epoch", "values")
        return {
            "path": str(self.path),
            "metric": self.metric,
            "repeats": self.repeats,
            "nested": self.nested,
            "interval": "corrected resampled t, 95%",
            "scores": {name: asdict(score) for name, score in self.scores.items()},
            "folds": [
                {
                    **{key: getattr(fold, key) for key in plain},
                    "path": str(fold.path),
                    "scores": {name: score.model_dump() for name, score in fold.scores.items()},
                }
                for fold in self.folds
            ],
        }


def cross_validate(
    recipe: Recipe | str | Path,
    folds: int = 5,
    repeats: int = 1,
    *,
    gap: int = 0,
    nested: bool = False,
    out: Path | str | None = None,
    resume: bool = False,
    progress: bool = True,
) -> CrossValidation:
    """Train and judge a recipe on every fold of its training and validation rows.

    Folds respect what the recipe's split respects: classes, groups or time (expanding windows). Of each fold's training
    rows a share, the same as in the recipe's split, chooses the best epoch and the temperature; the held-out rows only
    judge. The recipe's test split takes no part.

    Args:
        recipe: a recipe, its file, or the name of a built-in one.
        folds: k.
        repeats: divide the rows so many times, with another seed each time; not for folds in time.
        gap: of folds in time: rows left out between training and held-out rows.
        nested: carry out the recipe's ``search`` inside each fold, and judge what it finds: the honest score of
            searching and training together.
        out: folder; by default the next free ``runs/<name>/cv-<n>``. Each fold is a run in it.
        resume: go on in ``out``.
        progress: show a bar, or lines where there is no terminal.

    Raises:
        DataError: too few rows, groups or times for so many folds.
        InterruptedRunError: Ctrl-C or SIGTERM; the message has the command to resume.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    if nested and recipe.search is None:
        raise RecipeError(["search: nested cross-validation needs a search section in the recipe"])
    base = build_source(recipe)
    pairs = _pairs(base, folds, repeats, gap, recipe.seed)
    plan = {"folds": folds, "repeats": repeats, "gap": gap, "nested": nested}
    folder = folders.open_folder("cv", recipe, plan, Path(out) if out is not None else None, resume)
    done = sum(_finished(folder / f"fold-{number}") for number in range(1, len(pairs) + 1))
    shown = ManyProgress("fold", len(pairs), done, progress)
    for line in getattr(base, "notes", []):
        shown.message(line)
    results: list[FoldResult] = []
    asked = recipe.with_(data=recipe.data.replace(**base.resolved()))  # what the columns are is told once
    try:
        for number, (repeat, pair) in enumerate(pairs, start=1):
            splits = fold_splits(base, pair, recipe.seed, number)
            was = _finished(folder / f"fold-{number}")
            run, values = _train(asked, folder, number, repeat, splits, nested, shown)
            results.append(_result(run, number, repeat, splits, values))
            if not was:
                shown.finished(_line(results, run))
    except InterruptedRunError as error:
        words = f"lamp evaluate {{recipe}} --folds {folds}"
        words += f" --repeats {repeats}" if repeats > 1 else ""
        words += (f" --gap {gap}" if gap else "") + (" --nested" if nested else "")
        raise folders.interrupted(error, f"fold {len(results) + 1} of {len(pairs)}", words, folder) from None
    finally:
        shown.stop()
    scores = summarise([r.scores for r in results], [r.train + r.val for r in results], [r.held_out for r in results])
    result = CrossValidation(folder, recipe, _metric(run), tuple(results), scores, repeats, nested)
    files.write_json(folder / "scores.json", result.to_dict())
    from lamplighter.search.report import write_cross_validation_report

    write_cross_validation_report(folder / "report.html", result)
    return result


def fold_splits(source: Source, pair: Fold, seed: int, number: int) -> Splits:
    """The splits of one fold's run: its held-out rows are the test split, everything else is unused.

    Args:
        source: with the recipe's own splits.
        pair: training and held-out rows.
        seed: the recipe's seed.
        number: of the fold.
    """
    own = source.splits
    share = len(own.val) / (len(own.train) + len(own.val))
    train, val = keys_of(source).cut(
        (1 - share, share), seeding.derive(seed, "fold", number), names=("train", "val"), among=pair[0]
    )
    everything = np.concatenate([own.train, own.val, own.test, own.unused])
    unused = np.setdiff1d(everything, np.concatenate([train, val, pair[1]]))
    return Splits(train, val, np.sort(pair[1]), unused)


def keys_of(source: Source) -> SplitKeys:
    """What divisions of a source's rows respect; of a source that does not say so, its classes.

    Targets of the test split are not looked at.
    """
    given = getattr(source, "split_keys", None)
    if isinstance(given, SplitKeys):
        return given
    rows = 1 + max(int(source.splits[name].max()) for name in ("train", "val", "test"))
    if not source.signature.labels:
        return SplitKeys(rows)
    classes = np.full(rows, -1, dtype=np.int64)
    for name in ("train", "val"):
        part = source.split(name)
        starts = range(0, len(part), _CHUNK)
        y = [part.fetch(np.arange(start, min(start + _CHUNK, len(part))))["y"].numpy() for start in starts]
        classes[source.splits[name]] = np.concatenate(y)
    return SplitKeys(rows, classes)


def _pairs(source: Source, folds: int, repeats: int, gap: int, seed: int) -> list[tuple[int, Fold]]:
    if folds < 2 or repeats < 1 or gap < 0:
        raise DataError(f"{folds} folds, {repeats} repeats, gap {gap}: take at least 2 folds, 1 repeat and a gap of 0")
    among = np.concatenate([source.splits.train, source.splits.val])
    keys = keys_of(source)
    return [
        (repeat, pair)
        for repeat in range(1, repeats + 1)
        for pair in folds_of(keys, folds, seed, repeat=repeat - 1, gap=gap, among=among)
    ]


def _train(
    recipe: Recipe, folder: Path, number: int, repeat: int, splits: Splits, nested: bool, shown: ManyProgress
) -> tuple[Run, dict[str, Any]]:
    """One fold's run, and the values that its own search found."""
    path = folder / f"fold-{number}"
    own = recipe.with_(seed=recipe.seed + repeat - 1, search=None)
    own = folders.settled_by(own, [folder / "fold-1"]) if number > 1 else own
    values: dict[str, Any] = {}
    source = build_source(own, splits)
    if nested:
        from lamplighter.search.hyperparameters import search

        asked = own.with_(search=recipe.search)
        found = search(asked, folder / f"search-{number}", resume=True, progress=False, source=source)
        own, values = found.best_recipe, found.best_params
        if own.data.params != asked.data.params:
            source = build_source(own, splits)
    return fit(own, path, resume=True, progress=False, callbacks=[Following(shown)], source=source), values


def _finished(path: Path) -> bool:
    return (path / "scores.json").is_file() and Run(path).finished


def _metric(run: Run) -> str:
    monitor = run.recipe.train.monitor
    assert monitor is not None  # resolved
    return monitor.metric


def _result(run: Run, number: int, repeat: int, splits: Splits, values: dict[str, Any]) -> FoldResult:
    best = [int(record["best_epoch"]) for record in run.history if record.get("event") == "finished"]
    return FoldResult(
        number=number,
        repeat=repeat,
        path=run.path,
        scores=run.metrics,
        train=len(splits.train),
        val=len(splits.val),
        held_out=len(splits.test),
        best_epoch=best[-1],
        values=values,
    )


def _line(results: list[FoldResult], run: Run) -> str:
    metric = _metric(run)
    values = [result.scores[metric].value for result in results]
    mean = f"  mean so far {np.mean(values):.4f}" if len(values) > 1 else ""
    found = f"  {json.dumps(results[-1].values)}" if results[-1].values else ""
    return f"{metric} {values[-1]:.4f}{mean}{found}"
