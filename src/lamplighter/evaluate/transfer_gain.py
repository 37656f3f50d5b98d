"""What transferred weights gain, by how many blocks stay frozen: numbers over seeds, a verdict, and a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from lamplighter.core import files
from lamplighter.core.errors import LamplighterError

_INK, _QUIET, _GRID, _LINE, _BAND = "#1f2328", "#57606a", "#d8dee4", "#b45309", "#0969da"
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "lamplighter",
    "font.size": 9.5,
    "text.color": _INK,
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
}


@dataclass(frozen=True)
class Arm:
    """One way to train, tried with every seed.

    Attributes:
        name: in words.
        frozen: blocks that stay frozen; None: nothing is transferred.
        parameters: that learn.
        values: seed -> score on the validation split.
    """

    name: str
    frozen: int | None
    parameters: int
    values: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Of the scores."""
        return math.fsum(self.values.values()) / len(self.values)

    @property
    def sd(self) -> float:
        """Standard deviation of the scores (n - 1); NaN for a single seed."""
        return _sd(list(self.values.values()))


@dataclass(frozen=True)
class TransferGain:
    """Training from scratch beside training with transferred weights.

    Attributes:
        metric: what was compared.
        mode: ``max`` or ``min``: what is better.
        arms: from scratch first, then by frozen blocks, the head alone last.
    """

    metric: str
    mode: str
    arms: tuple[Arm, ...]

    @property
    def scratch(self) -> Arm:
        """Nothing transferred."""
        return self.arms[0]

    @property
    def best(self) -> Arm:
        """The arm with the best mean."""
        choose = max if self.mode == "max" else min
        return choose(self.arms, key=lambda arm: arm.mean)

    def gains(self, arm: Arm) -> list[float]:
        """What an arm is better than from scratch, seed by seed: same rows, same order of rows, same new head."""
        sign = 1 if self.mode == "max" else -1
        return [sign * (value - self.scratch.values[seed]) for seed, value in arm.values.items()]

    def interval(self, arm: Arm, level: float = 0.95) -> tuple[float, float]:
        """Paired t interval of the mean gain over seeds; infinite for a single seed."""
        from scipy import stats

        gains = self.gains(arm)
        mean = math.fsum(gains) / len(gains)
        if len(gains) < 2:
            return -math.inf, math.inf
        half = float(stats.t.ppf((1 + level) / 2, len(gains) - 1)) * _sd(gains) / math.sqrt(len(gains))
        return mean - half, mean + half

    def rows(self) -> list[list[str]]:
        """Of the table: how, parameters that learn, score, gain over scratch, seeds on which it is better."""
        table = []
        for arm in self.arms:
            spread = "" if math.isnan(arm.sd) else f" (sd {arm.sd:.3f})"
            row = [arm.name, f"{arm.parameters:,}", f"{arm.mean:.4f}{spread}", "", ""]
            if arm is not self.scratch:
                gains, (low, high) = self.gains(arm), self.interval(arm)
                between = "" if math.isinf(low) else f" ({low:+.4f} to {high:+.4f})"
                row[3] = f"{math.fsum(gains) / len(gains):+.4f}{between}"
                row[4] = f"{sum(gain > 0 for gain in gains)} of {len(gains)}"
            table.append(row)
        return table

    def verdict(self) -> str:
        """One sentence for a person who has to choose."""
        best, seeds = self.best, len(self.scratch.values)
        over = f"{seeds} seed{'s' if seeds > 1 else ''}"
        if best is self.scratch:
            return f"From scratch is best over {over}: these weights do not help here."
        low, high = self.interval(best)
        said = (
            f"Best over {over}: {best.name}, {self.metric} {best.mean:.4f} against {self.scratch.mean:.4f} from scratch"
        )
        if math.isinf(low):
            return f"{said}; one seed says nothing about chance."
        if low > 0:
            return f"{said}; the gain is {low:.4f} to {high:.4f} with 95% confidence."
        return f"{said}; but the interval of the gain, {low:+.4f} to {high:+.4f}, holds 0: try more seeds."

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        arms = []
        for arm in self.arms:
            values = {str(seed): value for seed, value in arm.values.items()}
            arms.append(
                {
                    "name": arm.name,
                    "frozen": arm.frozen,
                    "parameters": arm.parameters,
                    "mean": arm.mean,
                    "values": values,
                }
            )
        return {"metric": self.metric, "mode": self.mode, "arms": arms, "verdict": self.verdict()}


def picture(path: Path, gain: TransferGain, blocks: Sequence[str]) -> None:
    """Score by frozen blocks, whole or not at all: a point for each seed, the means joined, from scratch as a band.

    Args:
        path: ends in ``.svg`` or ``.png``.
        gain: what to draw.
        blocks: names of the blocks below the head, in order.

    Raises:
        LamplighterError: another ending.
    """
    ending = path.suffix.lower()
    if ending not in (".svg", ".png"):
        raise LamplighterError(f"{path}: pictures end in .svg or .png")
    arms = [arm for arm in gain.arms if arm.frozen is not None]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.subplots()
        scratch, places = gain.scratch, range(len(arms))
        spread = 0.0 if math.isnan(scratch.sd) else scratch.sd
        axes.axhspan(scratch.mean - spread, scratch.mean + spread, color=_BAND, alpha=0.12, linewidth=0)
        axes.axhline(scratch.mean, color=_BAND, linewidth=1.5, linestyle=(0, (4, 2)), label="from scratch (mean, sd)")
        for place, arm in zip(places, arms):
            axes.plot([place] * len(arm.values), list(arm.values.values()), "o", color=_LINE, alpha=0.35, markersize=5)
        means = [arm.mean for arm in arms]
        errors = [0.0 if math.isnan(arm.sd) else arm.sd for arm in arms]
        axes.errorbar(
            places, means, errors, color=_LINE, linewidth=2, capsize=3, marker="o", label="transferred (mean, sd)"
        )
        axes.set_xticks(list(places), [_label(arm, blocks) for arm in arms])
        axes.margins(x=0.06)
        axes.set_xlabel("blocks that stay frozen")
        axes.set_ylabel(f"validation {gain.metric}")
        axes.legend(frameon=False, loc="best")
        metadata = {"Date": None} if ending == ".svg" else None
        files.write_with(
            path, lambda temporary: figure.savefig(temporary, format=ending[1:], dpi=150, metadata=metadata)
        )


def _label(arm: Arm, blocks: Sequence[str]) -> str:
    if not arm.frozen:
        return "0\nfine-tuning"
    if arm.frozen == len(blocks):
        return f"{arm.frozen}\nhead only"
    return f"{arm.frozen}\n{blocks[arm.frozen - 1]}"


def _sd(values: Sequence[float]) -> float:
    if len(values) < 2:
        return math.nan
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
