"""Keep the k best checkpoints."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from lamplighter.train import checkpoint
from lamplighter.train.callbacks.base import Callback, State

_INCOMING = ".incoming"


@dataclass(frozen=True)
class Kept:
    """One of the best checkpoints of a run.

    Attributes:
        path: the folder, for `lamplighter.train.checkpoint.load_model`.
        epoch: counting from 1.
        step: optimizer steps before it.
        value: of the monitored metric.
    """

    path: Path
    epoch: int
    step: int
    value: float


def kept(run: Path) -> list[Kept]:
    """The checkpoints that `TopK` left in a run's directory, best first."""
    found, mode = [], "min"
    for path in sorted((run / "checkpoints" / "top").glob("epoch-*")):
        about = checkpoint.load_state(path)
        mode = about["mode"]
        found.append(Kept(path, about["epoch"], about["step"], about["value"]))
    return sorted(found, key=lambda each: (each.value if mode == "min" else -each.value, each.step))


class TopK(Callback):
    """Keeps the weights of the ``k`` best validations in ``checkpoints/top``, whatever comes later.

    Each is a folder such as ``epoch-0007-0.9312`` (epoch and the monitored metric; ``epoch-0007-step-000420-0.9312``
    for a validation within the epoch) with ``model.safetensors`` and a ``state.json`` that says epoch, step and all
    metrics. Weights are those that were judged: the averaged ones under `EMA` or `SWA`. Of equal values the earlier
    one stays. There are never more than k folders; a worse one goes when a better one is whole.

    Args:
        k: how many to keep.
    """

    def __init__(self, k: Annotated[int, Field(ge=1)] = 3) -> None:
        self.k = k
        self.kept: list[dict[str, Any]] = []  # best first

    def on_train_start(self, state: State) -> None:
        """Remove what an interrupted run wrote after its last checkpoint: that part is done again."""
        if not state.writes:
            return
        names = {each["name"] for each in self.kept}
        folder = _folder(state)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name.startswith(("epoch-", _INCOMING, f".{_INCOMING}")) and path.name not in names:
                shutil.rmtree(path)

    def on_validation_end(self, state: State) -> None:
        value = float(state.monitored)
        if not math.isfinite(value):
            return
        better = [each for each in self.kept if not _better(value, each["value"], state.mode)]
        if len(better) >= self.k:
            return
        epoch, name = _name(state, value)
        folder = _folder(state)
        about = {"epoch": epoch, "step": state.step, "metric": state.monitor, "mode": state.mode, "value": value}
        state.save_weights(folder / _INCOMING, {**about, "metrics": dict(state.metrics)})
        self.kept.insert(len(better), {"name": name, "value": value})
        dropped, self.kept = self.kept[self.k :], self.kept[: self.k]
        if state.writes:
            for each in dropped:
                shutil.rmtree(folder / each["name"], ignore_errors=True)
            (folder / _INCOMING).rename(folder / name)

    def state_dict(self) -> dict[str, Any]:
        return {"kept": [dict(each) for each in self.kept]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.kept = [dict(each) for each in state["kept"]]


def _folder(state: State) -> Path:
    return state.folder / "checkpoints" / "top"


def _better(a: float, b: float, mode: str) -> bool:
    return a < b if mode == "min" else a > b


def _name(state: State, value: float) -> tuple[int, str]:
    """The epoch that a validation belongs to, and the name of its folder."""
    per_epoch = state.steps_per_epoch or state.step
    epoch = math.ceil(state.step / per_epoch)
    within = f"-step-{state.step:06d}" if state.step % per_epoch else ""
    return epoch, f"epoch-{epoch:04d}{within}-{value:.4g}"
