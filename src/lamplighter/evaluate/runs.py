"""Runs side by side: what is in a folder of runs, how their recipes differ, and their curves on one page."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamplighter.core.errors import LamplighterError, RunError
from lamplighter.core.recipe import Recipe
from lamplighter.metrics.score import Score
from lamplighter.train.metrics_log import MetricsLog
from lamplighter.train.run_folder import REQUESTED, flat


@dataclass(frozen=True)
class Summary:
    """What is worth knowing about a run without opening its networks; reads no torch.

    Attributes:
        path: the run's folder.
        recipe: as plain data, resolved where training has begun.
        history: records of metrics.jsonl.
        status: ``finished``, ``interrupted`` (there is something to resume) or ``begun``.
        test: scores on the test split; empty when it was not opened.
        val: scores on the validation split.
    """

    path: Path
    recipe: dict[str, Any]
    history: list[dict[str, Any]]
    status: str
    test: dict[str, Score]
    val: dict[str, Score]

    @classmethod
    def read(cls, path: Path) -> Summary:
        """Read a run's folder.

        Raises:
            RunError: it is none, or a file in it is damaged.
        """
        name = next((name for name in ("recipe.yaml", REQUESTED) if (path / name).is_file()), None)
        if name is None:
            raise RunError(f"{path}: not a run directory (no recipe.yaml in it)")
        history = MetricsLog(path / "metrics.jsonl").read()
        ends = [record["event"] for record in history if record.get("event") in ("finished", "extended")]
        saved = (path / "checkpoints" / "last" / "state.json").is_file()
        status = "finished" if ends[-1:] == ["finished"] else "interrupted" if saved else "begun"
        try:
            scores = json.loads((path / "scores.json").read_text("utf-8")) if (path / "scores.json").is_file() else {}
            test, val = (
                {key: Score.model_validate(score) for key, score in scores.get(split, {}).items()}
                for split in ("test", "val")
            )
        except (ValueError, AttributeError):
            raise RunError(f"{path / 'scores.json'}: damaged; train again with --force, or restore the file") from None
        return cls(path, Recipe.load(path / name).to_dict(), history, status, test, val)

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """The records of whole epochs; of one that stands there twice the later."""
        records = {record["epoch"]: record for record in self.history if record.get("event") == "epoch"}
        return [records[epoch] for epoch in sorted(records)]

    @property
    def seconds(self) -> float:
        """Time spent training."""
        return float(sum(record.get("seconds") or 0.0 for record in self.epochs))

    @property
    def monitored(self) -> tuple[str, float | None]:
        """The metric that decides which weights are best, and its best validation value."""
        monitor = (self.recipe.get("train") or {}).get("monitor") or {"metric": "loss", "mode": "min"}
        name, mode = monitor["metric"], monitor["mode"]
        every = [record for record in self.history if record.get("event") in ("epoch", "validation")]
        values = [v for record in every if isinstance(v := record.get(f"val/{name}"), int | float) and math.isfinite(v)]
        return name, (None if not values else float(min(values) if mode == "min" else max(values)))

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        metric, best = self.monitored
        return {
            "path": str(self.path),
            "name": self.recipe["name"],
            "status": self.status,
            "model": self.recipe["model"]["name"],
            "data": self.recipe["data"]["name"],
            "epochs": len(self.epochs),
            "seconds": round(self.seconds, 3),
            "monitor": metric,
            "best": best,
            "test": {name: score.model_dump() for name, score in self.test.items()},
            "val": {name: score.model_dump() for name, score in self.val.items()},
        }


def find(folder: Path) -> tuple[list[Summary], list[str]]:
    """All runs in a folder and the folders in it, by path; and a line for each that cannot be read."""
    found, broken = [], []
    places = sorted(
        {path.parent for name in ("recipe.yaml", REQUESTED) for path in folder.glob(f"**/{name}")}, key=_key
    )
    for place in places:
        if place.name == "bundle":
            continue
        try:
            found.append(Summary.read(place))
        except LamplighterError as error:
            broken.append(str(error).splitlines()[0])
    return found, broken


def differences(runs: Sequence[Summary]) -> dict[str, list[str]]:
    """Keys of the recipes whose values are not the same in all runs -> the value in each run (``-``: none)."""
    columns = [flat(run.recipe) for run in runs]
    keys = dict.fromkeys(key for column in columns for key in column)
    rows = {key: [column.get(key, "-") for column in columns] for key in keys}
    return {key: values for key, values in rows.items() if len(set(values)) > 1}


def curves(runs: Sequence[Summary]) -> dict[str, list[list[float]]]:
    """``val/...`` and ``train/loss`` over the epochs -> one list a run; NaN where an epoch has no value."""
    names = dict.fromkeys(
        key for run in runs for record in run.epochs for key in record if key.startswith("val/") or key == "train/loss"
    )
    return {
        name: [
            [float(v) if isinstance(v := record.get(name), int | float) else math.nan for record in run.epochs]
            for run in runs
        ]
        for name in sorted(names)
    }


def names(runs: Sequence[Summary]) -> list[str]:
    """A short name for each run, all different: the ends of their paths.

    >>> from types import SimpleNamespace as Fake
    >>> names([Fake(path=Path("runs/a/1")), Fake(path=Path("runs/b/1"))])
    ['a/1', 'b/1']
    """
    parts = [run.path.parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        short = ["/".join(part[-length:]) for part in parts]
        if len(set(short)) == len(short) and length > 1:
            return short
    return [str(run.path) for run in runs]


def _key(path: Path) -> list[tuple[int, int | str]]:
    """``runs/a/10`` after ``runs/a/9``."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in path.parts]
