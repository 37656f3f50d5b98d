"""What a search found: its trials, the best of them, and how much of its lead is luck."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lamplighter.core.recipe import Recipe
from lamplighter.evaluate.optimism import Optimism

State = Literal["complete", "pruned", "failed", "running"]


@dataclass(frozen=True)
class Trial:
    """One training of a search.

    Attributes:
        number: counting from 0.
        state: ``pruned``: ended early by the pruner; ``failed``: see ``error``.
        value: best validation score of the metric; None unless complete.
        params: dotted key -> value.
        reports: validation score after each epoch.
        seconds: how long it took.
        path: its run.
        error: why it failed, or "".
    """

    number: int
    state: State
    value: float | None
    params: dict[str, Any]
    reports: dict[int, float]
    seconds: float
    path: Path
    error: str = ""

    @property
    def epochs(self) -> int:
        """How many were trained."""
        return max(self.reports, default=0)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-compatible data."""
        return {**asdict(self), "path": str(self.path), "reports": {str(k): v for k, v in self.reports.items()}}


@dataclass(frozen=True)
class SearchResult:
    """A finished search.

    Attributes:
        path: its folder.
        metric: what trials were judged by, on the validation split.
        mode: ``max`` or ``min``.
        trials: in the order of their numbers.
        best_recipe: the recipe with the best values in place and nothing left to search; also in ``best.yaml``.
        importance: share of the variance between trials that each key explains; empty with too few trials.
        optimism: how much of the best score is expected to be luck; None when that cannot be told.
    """

    path: Path
    metric: str
    mode: str
    trials: tuple[Trial, ...]
    best_recipe: Recipe
    importance: dict[str, float]
    optimism: Optimism | None

    @property
    def best_trial(self) -> Trial:
        """The complete trial with the best value; the first of equals."""
        return self.ranked()[0]

    @property
    def best_value(self) -> float:
        """Its score on the validation split."""
        value = self.best_trial.value
        assert value is not None
        return value

    @property
    def best_params(self) -> dict[str, Any]:
        """Its values."""
        return self.best_trial.params

    def ranked(self) -> list[Trial]:
        """Complete trials, the best first."""
        sign = -1 if self.mode == "max" else 1
        complete = [trial for trial in self.trials if trial.value is not None]
        return sorted(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-compatible data."""
        return {
            "path": str(self.path),
            "metric": self.metric,
            "mode": self.mode,
            "best": {"trial": self.best_trial.number, "value": self.best_value, "params": self.best_params},
            "best_recipe": str(self.path / "best.yaml"),
            "optimism": asdict(self.optimism) if self.optimism else None,
            "importance": self.importance,
            "trials": [trial.to_dict() for trial in self.trials],
        }

    def warning(self) -> str:
        """What to keep in mind about the best score, in a sentence or two."""
        n, found = len(self.ranked()), self.optimism
        if n < 2 or found is None or found.expected < 5e-5:
            return "The validation split chose this recipe; only the test split can say how good it is."
        sign = -1 if self.mode == "max" else 1
        said = (
            f"The best of {n} trials on one validation split looks better than it is: expect {self.metric} "
            f"{self.best_value + sign * found.expected:.4f} rather than {self.best_value:.4f} on new rows"
        )
        if found.noise >= 0.5:
            return (
                f"{said}. The {found.contenders} best trials differ mostly by chance ({found.noise:.0%} of their "
                "variance): take the simplest of them, or search on more validation rows."
            )
        return f"{said} ({found.expected:.4f} is luck, by estimate)."
