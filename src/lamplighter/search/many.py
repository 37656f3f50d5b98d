"""Many trainings of one recipe on parts of its training rows, each judged on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lamplighter.core.errors import InterruptedRunError
from lamplighter.core.recipe import Recipe
from lamplighter.data.source import Source
from lamplighter.run import Run, build_source, fit
from lamplighter.search import folder as folders
from lamplighter.search.cross_validation import fold_splits
from lamplighter.search.progress import Following, ManyProgress


@dataclass(frozen=True)
class Part:
    """One training to come.

    Attributes:
        name: of its folder.
        rows: positions in the data set of the rows that train and choose the best epoch.
        seed: of the training.
        words: what it is, for a person.
    """

    name: str
    rows: np.ndarray
    seed: int
    words: str


def train_parts(
    kind: str,
    recipe: Recipe,
    plan: dict[str, Any],
    command: str,
    out: Path | None,
    resume: bool,
    progress: bool,
    parts: Callable[[Source], Sequence[Part]],
    finished: Callable[[Part, Run], str],
) -> Path:
    """Train a run for each part. The recipe's validation rows are held out to judge; its test split stays shut.

    Args:
        kind: names the default folder ``runs/<name>/<kind>-<n>``.
        recipe: what is trained.
        plan: settings that a resume must not change.
        command: ``lamp`` and its verb with ``{recipe}`` in it, for the message of an interruption.
        out: the folder.
        resume: go on in it.
        progress: show a bar, or lines where there is no terminal.
        parts: of the source in the recipe's own split.
        finished: looks at a run, right after its training or when it is found; the line to show.

    Returns:
        The folder.
    """
    base = build_source(recipe)
    planned = parts(base)
    folder = folders.open_folder(kind, recipe, plan, out, resume)
    runs = [folder / part.name for part in planned]
    shown = ManyProgress("training", len(planned), sum(_finished(path) for path in runs), progress)
    number = 0
    try:
        for number, (part, path) in enumerate(zip(planned, runs), start=1):
            was = _finished(path)
            own = _as_long(recipe.with_(seed=part.seed, search=None), len(base.splits.train), len(part.rows))
            own = folders.settled_by(own, runs[:1]) if number > 1 else own
            splits = fold_splits(base, (part.rows, base.splits.val), recipe.seed, number)
            source = build_source(own, splits)
            run = fit(own, path, resume=True, progress=False, callbacks=[Following(shown)], source=source, judge=False)
            line = finished(part, run)
            if not was:
                shown.finished(f"{part.words}  {line}")
    except InterruptedRunError as error:
        raise folders.interrupted(error, f"training {number} of {len(planned)}", command, folder) from None
    finally:
        shown.stop()
    return folder


def _as_long(recipe: Recipe, rows: int, fewer: int) -> Recipe:
    """The recipe with as many more epochs as there are fewer rows, validated after as many steps as before."""
    times = max(1, round(rows / fewer))
    train = recipe.train
    longer = {"epochs": times * train.epochs, "validate_every": times * train.validate_every}
    return recipe.with_(train=train.model_copy(update=longer))


def _finished(path: Path) -> bool:
    return (path / "scores.json").is_file() and Run(path).finished
