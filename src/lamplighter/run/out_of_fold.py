"""Answers to the training rows by networks that were not trained on them: a recipe is trained anew for each fold."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from lamplighter.core.errors import InterruptedRunError, RunError
from lamplighter.core.recipe import Recipe
from lamplighter.data.folds import folds_of
from lamplighter.data.source import Source
from lamplighter.data.split_rules import SplitKeys
from lamplighter.data.splits import Splits
from lamplighter.metrics.calibration import softmax
from lamplighter.run import fit
from lamplighter.train.evaluation import evaluate
from lamplighter.train.progress import NoProgress


def out_of_fold(
    recipe: Recipe, source: Source, folds: int, workspace: Path, progress: NoProgress, name: str = "model"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train ``recipe`` once for each fold of the training split, and let each network answer the rows it did not see.

    Everything fitted on training rows (scaling, encodings, statistics) is fitted anew in each fold. The validation
    split chooses the best epoch in every fold, as it did for the run itself; the test split stays closed.

    Args:
        recipe: resolved.
        source: its data; the folds are the same for every recipe on it.
        folds: how many.
        workspace: an existing folder, in which a temporary one is made and removed.
        progress: hears of each fold.
        name: what to call the recipe there.

    Returns:
        Positions of the answered rows within the training split, ascending; their answers, probabilities (N, K) or
        numbers (N, T); and their targets.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM.
    """
    splits, rank = source.splits, {int(row): place for place, row in enumerate(source.splits.train)}
    positions, answers, targets = [], [], []
    pairs = folds_of(_keys(source), folds, recipe.seed, among=splits.train)
    with tempfile.TemporaryDirectory(prefix=".folds.", suffix=".tmp", dir=workspace) as folder:
        for number, (train, held_out) in enumerate(pairs, start=1):
            rest = np.setdiff1d(np.concatenate([splits.train, splits.test, splits.unused]), [*train, *held_out])
            fold = Splits(train, splits.val, held_out, rest)
            progress.message(f"{name}: fold {number} of {len(pairs)}, {len(train):,} rows")
            try:
                run = fit(recipe, Path(folder) / str(number), splits=fold, judge=False, progress=False)
            except InterruptedRunError as error:
                raise InterruptedRunError(
                    f"stopped in fold {number} of {name}; nothing was kept, run the command again",
                    error.exit_code - 128,
                ) from None
            rows = run.source().split("test")
            outputs, kept = evaluate(run.task(), rows, 2 * recipe.data.batch_size, torch.device("cpu"))
            positions.append([rank[int(row)] for row in held_out[kept]])
            classes = "logits" in outputs
            answers.append(softmax(outputs["logits"], run.temperature) if classes else outputs["value"])
            targets.append(outputs["y"])
    order = np.argsort(np.concatenate(positions))
    return np.concatenate(positions)[order], np.concatenate(answers)[order], np.concatenate(targets)[order]


def check_retrainable(name: str, recipe: Recipe) -> None:
    """Refuse a recipe whose networks cannot be kept from knowing the rows of a fold.

    Raises:
        RunError: says why.
    """
    task = recipe.task
    reason = ""
    if task.name == "distillation":
        reason = f"its teacher {task.params['teacher']} was trained on all training rows"
    elif task.name == "ensemble" and not isinstance(task.params.get("members", 5), int):
        reason = "it is made of finished runs, which were trained on all training rows"
    if reason:
        raise RunError(
            f"{name}: stacking trains each member anew without the rows it answers, and {reason}; leave it out"
        )


def _keys(source: Source) -> SplitKeys:
    """What folds must respect; without the source's own word, the classes of its training rows."""
    own = getattr(source, "split_keys", None)
    if isinstance(own, SplitKeys):
        return own
    splits = source.splits
    total = sum(len(part) for part in (splits.train, splits.val, splits.test, splits.unused))
    y = source.split("train").fetch(np.arange(len(splits.train)))["y"].numpy()
    if not np.issubdtype(y.dtype, np.integer):
        return SplitKeys(total)
    classes = np.full(total, -1, dtype=np.int64)
    classes[splits.train] = y
    return SplitKeys(total, classes)
