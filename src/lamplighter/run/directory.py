"""`Run`: the directory that a training leaves behind."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from lamplighter.core.errors import RunError
from lamplighter.core.recipe import Recipe
from lamplighter.data.source import Source
from lamplighter.metrics.score import Score
from lamplighter.run.build import build_source, build_task, saved_splits
from lamplighter.run.judging import calibrated, log_test_opened
from lamplighter.tasks.base import Task, every_score
from lamplighter.train import checkpoint, run_folder
from lamplighter.train.callbacks.top_k import Kept, kept
from lamplighter.train.evaluation import evaluate
from lamplighter.train.metrics_log import MetricsLog

if TYPE_CHECKING:
    from lamplighter.bundle.runtime import Bundle
    from lamplighter.evaluate.overfitting import Verdict


class Run:
    """A run's directory: resolved recipe, diary, checkpoints, scores and report.

    Args:
        path: the directory, as `fit` or ``lamp train`` made it.
        model: the network of one's own that was trained; `fit` gives it.
        source: the data, where it is at hand.

    Attributes:
        path: the directory.
    """

    def __init__(self, path: Path | str, model: nn.Module | None = None, source: Source | None = None) -> None:
        self.path = Path(path)
        self._model, self._given = model, source
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
        ends = [record["event"] for record in self.history if record.get("event") in ("finished", "extended")]
        return ends[-1:] == ["finished"]

    @property
    def metrics(self) -> dict[str, Score]:
        """Scores of the best weights on the test split.

        Raises:
            RunError: training has not finished, or it was one of those that leave the test split closed.
        """
        if "test" not in self._scores:
            raise RunError(f"{self.path}: was trained without opening the test split; it has validation scores only")
        return {name: Score.model_validate(score) for name, score in self._scores["test"].items()}

    @property
    def val_metrics(self) -> dict[str, Score]:
        """Scores of the best weights on the validation split, which chose them: a little too good."""
        return {name: Score.model_validate(score) for name, score in self._scores["val"].items()}

    @property
    def temperature(self) -> float:
        """What logits are divided by before the softmax; 1 when not calibrated."""
        return float(self._scores["temperature"])

    @property
    def threshold(self) -> float | None:
        """Of two classes, the probability from which the positive one is answered; None: the likelier one is."""
        return self._scores.get("threshold")

    @property
    def overfitting(self) -> Verdict | None:
        """Whether the model is too simple, too eager, or about right; None where that was not judged."""
        from lamplighter.evaluate.overfitting import Verdict

        found = self._scores.get("overfitting")
        return Verdict.from_dict(found) if found else None

    @property
    def top(self) -> list[Kept]:
        """Checkpoints that callback ``top-k`` kept, best first; ``task(f"top/{kept.path.name}")`` loads one."""
        return kept(self.path)

    def source(self) -> Source:
        """The data the run was trained on, in the same splits."""
        return self._source

    def task(self, weights: str = "best") -> Task:
        """The task with the best weights, on the CPU, in eval mode.

        Args:
            weights: name of a folder in ``checkpoints``.
        """
        task = build_task(self.recipe, self.source(), copy.deepcopy(self._model))
        path = self.path / "checkpoints" / weights
        if not checkpoint.exists(path):
            missing = "checkpoint yet" if weights == "best" else f"checkpoint '{weights}'"
            raise RunError(f"{self.path}: has no {missing}; go on with: {run_folder.resume_command(self.path)}")
        checkpoint.load_model(path, task)
        return task.eval()

    def evaluate(self, split: str = "val", again: bool = False) -> dict[str, Score]:
        """Scores of the best weights on a split, with n and 95% interval. Opening the test split is logged.

        Args:
            split: ``train``, ``val`` or ``test``.
            again: look at the test split although it was opened before; each look makes its scores less honest.

        Raises:
            RunError: the test split was opened before, and ``again`` was not said.
        """
        task, outputs, _ = self.answers(split, again)
        return every_score(task, outputs)

    def answers(self, split: str = "val", again: bool = False) -> tuple[Task, dict[str, np.ndarray], np.ndarray]:
        """What the best weights answer to the rows of a split that have a target. Arguments as in `evaluate`.

        Returns:
            The task; its outputs with calibrated logits, and ``answers`` where a threshold decides; and the position of
            each row within the split.
        """
        opened = [record for record in self.history if record.get("event") == "test_opened"]
        if split == "test" and opened and not again:
            raise RunError(
                f"{self.path}: the test split was opened before ({opened[-1]['time']}), and whoever chooses by what it "
                "says a second time fools themselves; Run.metrics and 'lamp evaluate' without --split have its scores; "
                "to open it all the same: again=True, or --again"
            )
        rows, task = self.source().split(split), self.task()
        if split == "test":
            log_test_opened(self.path, len(rows))
        outputs, positions = evaluate(task, rows, 2 * self.recipe.data.batch_size, torch.device("cpu"))
        return task, calibrated(outputs, self.temperature, self.threshold, task.positive), positions

    def mc_dropout(self, samples: int = 30) -> tuple[dict[str, Score], dict[str, float]]:
        """Validation scores of the mean of many answers with dropout left on, and how far these answers differ.

        Args:
            samples: answers to each row.

        Returns:
            As `lamplighter.evaluate.uncertainty.evaluate_mc_dropout`.
        """
        from lamplighter.evaluate.uncertainty import evaluate_mc_dropout

        rows, batch_size = self.source().split("val"), 2 * self.recipe.data.batch_size
        return evaluate_mc_dropout(self.task(), rows, samples, batch_size, torch.device("cpu"), self.recipe.seed)

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
            "threshold": self.threshold,
            "positive": self._scores.get("positive", 1),
            "version": self.recipe.bundle.version or (number if number.isdigit() else "1"),
            **options,
        }
        return load_bundle(export_bundle(task=self.task(), source=self.source(), **settings))

    @functools.cached_property
    def _source(self) -> Source:
        return self._given if self._given is not None else build_source(self.recipe, saved_splits(self.path))

    @functools.cached_property
    def _scores(self) -> dict[str, Any]:
        path = self.path / "scores.json"
        if not path.is_file():
            raise RunError(
                f"{self.path}: training has not finished; go on with: {run_folder.resume_command(self.path)}"
            )
        try:
            scores: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return {**scores, "temperature": float(scores["temperature"]), "val": dict(scores["val"])}
        except (ValueError, KeyError, TypeError):
            raise RunError(f"{path}: damaged; train again with --force, or restore the file") from None
