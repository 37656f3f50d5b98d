"""Snapshots: one at the end of each cycle of the learning rate, whatever its shape, also after a resume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lamplighter.core import registry
from lamplighter.core.errors import InterruptedRunError, TrainingError
from lamplighter.tasks.base import Task
from lamplighter.train import checkpoint
from lamplighter.train.callbacks.base import Callback, State
from lamplighter.train.callbacks.snapshots import Snapshots
from lamplighter.train.trainer import Trainer


class Scalar(Task):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))


def run(folder: Path, schedule: str, total: int, callback: Snapshots | None = None, **params: Any) -> list[int]:
    """Steps after which snapshots were taken; the weight is the number of steps."""
    factor = registry.build("schedule", schedule, params, {"total_steps": total, "steps_per_epoch": 10})
    at = State(Scalar(), "loss", "min", 9, folder=folder, total_steps=total, steps_per_epoch=10, schedule=factor)
    callback = callback or Snapshots()
    callback.on_train_start(at)
    for step in range(1, total + 1):
        at.step, at.epoch = step, (step - 1) // 10
        nn.init.constant_(at.task.w, float(step))  # type: ignore[arg-type]
        callback.on_step_end(at)
    callback.on_train_end(at)
    found = []
    for number in range(1, len(list((folder / "checkpoints" / "snapshots").iterdir())) + 1):
        path = folder / "checkpoints" / "snapshots" / f"cycle-{number}"
        twin = Scalar()
        checkpoint.load_model(path, twin)
        about = checkpoint.load_state(path)
        assert float(twin.w.detach()) == about["step"] and about["cycle"] == number
        assert about["epoch"] == (about["step"] - 1) // 10 + 1
        found.append(int(about["step"]))
    return found


@pytest.mark.parametrize(
    ("schedule", "params", "expected"),
    [
        ("warm-restarts", {"t_0": 0.25, "t_mult": 1}, [25, 50, 75, 100]),
        ("warm-restarts", {"t_0": 20, "t_mult": 2}, [20, 60, 100]),  # the last cycle is cut short by the end
        ("warm-restarts", {"t_0": 30, "t_mult": 1, "warmup": 10}, [40, 70, 100]),
        ("warm-restarts", {"t_0": 40, "t_mult": 1}, [40, 80, 100]),
        ("cyclic", {"step_size_up": 10}, [21, 41, 61, 81, 100]),  # the foot of a triangle belongs to the fall
        ("cyclic", {"step_size_up": 10, "step_size_down": 40, "mode": "triangular2"}, [51, 100]),
    ],
)
def test_a_snapshot_at_the_end_of_every_cycle(
    tmp_path: Path, schedule: str, params: dict[str, Any], expected: list[int]
) -> None:
    assert run(tmp_path, schedule, 100, **params) == expected


@pytest.mark.parametrize(
    ("schedule", "params"),
    [("constant", {}), ("cosine", {}), ("one-cycle", {}), ("warmup-cosine", {}), ("warm-restarts", {"t_0": 1.0})],
)
def test_a_schedule_without_cycles_is_refused(tmp_path: Path, schedule: str, params: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=r"never rises again.*take schedule: .name: warm-restarts"):
        run(tmp_path, schedule, 100, **params)


def test_what_an_interrupted_run_wrote_later_is_removed(tmp_path: Path) -> None:
    run(tmp_path, "warm-restarts", 100, t_0=0.25, t_mult=1)
    callback = Snapshots()
    callback.load_state_dict({"fell": True, "saved": [25]})
    factor = registry.build("schedule", "warm-restarts", {"t_0": 0.25, "t_mult": 1}, {"total_steps": 100})
    at = State(Scalar(), "loss", "min", 9, folder=tmp_path, total_steps=100, schedule=factor, step=30, writes=False)
    callback.on_train_start(at)
    assert len(list((tmp_path / "checkpoints" / "snapshots").iterdir())) == 4  # another process writes
    at.writes = True
    callback.on_train_start(at)
    assert [path.name for path in (tmp_path / "checkpoints" / "snapshots").iterdir()] == ["cycle-1"]


SETTINGS = {
    "epochs": 6,
    "schedule": {"name": "warm-restarts", "t_0": 1 / 3, "t_mult": 1},
    "callbacks": [{"name": "snapshots"}],
}


def snapshots(folder: Path) -> dict[str, bytes]:
    found = sorted((folder / "checkpoints" / "snapshots").glob("*/model.safetensors"))
    return {path.parent.name: path.read_bytes() for path in found}


def test_a_resumed_training_leaves_the_same_snapshots(tmp_path: Path, make_trainer: Callable[..., Trainer]) -> None:
    for name in ("whole", "resumed"):
        (tmp_path / name).mkdir()
    make_trainer(settings=SETTINGS, folder=tmp_path / "whole").fit()
    expected = snapshots(tmp_path / "whole")
    assert list(expected) == ["cycle-1", "cycle-2", "cycle-3"]

    class Stop(Callback):
        def on_step_end(self, state: State) -> None:
            if state.step == 25:  # in the middle of the second cycle
                trainer.stop.signum = 2

    trainer = make_trainer(settings=SETTINGS, folder=tmp_path / "resumed", callbacks=[Stop()])
    with pytest.raises(InterruptedRunError):
        trainer.fit()
    assert list(snapshots(tmp_path / "resumed")) == ["cycle-1"]
    trainer = make_trainer(settings=SETTINGS, folder=tmp_path / "resumed", callbacks=[Callback()])
    assert trainer.resume()
    trainer.fit()
    assert snapshots(tmp_path / "resumed") == expected
