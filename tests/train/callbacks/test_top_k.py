"""The k best checkpoints: which stay, what is in them, and that there are never more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError
from lamplighter.tasks.base import Task
from lamplighter.train import checkpoint
from lamplighter.train.callbacks import top_k
from lamplighter.train.callbacks.base import State
from lamplighter.train.callbacks.top_k import TopK

Make = Callable[..., Any]


class Scalar(Task):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))


def state(folder: Path, mode: Literal["min", "max"] = "min") -> State:
    return State(Scalar(), "loss", mode, 9, folder=folder, steps_per_epoch=10)


def validate(callback: TopK, at: State, values: list[float], steps: int = 10) -> list[list[str]]:
    """Validations with the weight set to the value; the folders after each."""
    seen = []
    for value in values:
        at.step += steps
        at.metrics = {"val/loss": value, "train/loss": 1.0}
        nn.init.constant_(at.task.w, value)  # type: ignore[arg-type]
        callback.on_validation_end(at)
        seen.append(folders(at.folder))
    return seen


def folders(folder: Path) -> list[str]:
    top = folder / "checkpoints" / "top"
    return sorted(path.name for path in top.iterdir()) if top.is_dir() else []


def test_the_best_stay_and_a_tie_goes_to_the_earlier(tmp_path: Path) -> None:
    seen = validate(TopK(2), state(tmp_path), [0.5, 0.7, 0.6, 0.9, 0.5, float("nan"), 0.41239])
    assert seen == [
        ["epoch-0001-0.5"],
        ["epoch-0001-0.5", "epoch-0002-0.7"],
        ["epoch-0001-0.5", "epoch-0003-0.6"],
        ["epoch-0001-0.5", "epoch-0003-0.6"],
        ["epoch-0001-0.5", "epoch-0005-0.5"],
        ["epoch-0001-0.5", "epoch-0005-0.5"],
        ["epoch-0001-0.5", "epoch-0007-0.4124"],
    ]


def test_a_value_that_is_not_finite_is_never_among_the_best(tmp_path: Path) -> None:
    bad = [float("nan"), float("inf"), float("-inf")]
    assert validate(TopK(5), state(tmp_path), [*bad, 0.5, *bad])[-1] == ["epoch-0004-0.5"]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_random_sequences_keep_what_sorting_says(mode: Literal["min", "max"], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for case in range(20):
        values, k = rng.random(12).round(1).tolist(), int(rng.integers(1, 5))
        folder = tmp_path / f"{case}"
        seen = validate(TopK(k), state(folder, mode), values)
        order = sorted(range(12), key=lambda i: (values[i] if mode == "min" else -values[i], i))
        assert seen[-1] == sorted(f"epoch-{i + 1:04d}-{values[i]:.4g}" for i in order[:k])
        assert max(len(names) for names in seen) <= k


def test_a_checkpoint_holds_the_weights_of_its_validation_and_says_which(tmp_path: Path) -> None:
    at = state(tmp_path)
    validate(TopK(3), at, [0.25, 0.125])
    kept = top_k.kept(tmp_path)
    assert [(each.value, each.epoch, each.step) for each in kept] == [(0.125, 2, 20), (0.25, 1, 10)]
    for each in kept:
        task = Scalar()
        checkpoint.load_model(each.path, task)
        assert task.w.item() == each.value
        about = json.loads((each.path / "state.json").read_text())
        assert about["metrics"] == {"val/loss": each.value, "train/loss": 1.0}
        assert (about["metric"], about["mode"]) == ("loss", "min")
    assert top_k.kept(tmp_path / "elsewhere") == []


def test_names_of_validations_within_an_epoch(tmp_path: Path) -> None:
    seen = validate(TopK(9), state(tmp_path), [0.3, 0.2, 0.1, 1e-7], steps=5)
    within = ["epoch-0001-step-000005-0.3", "epoch-0002-step-000015-0.1"]
    assert seen[-1] == sorted(["epoch-0001-0.2", "epoch-0002-1e-07", *within])


def test_a_kill_before_the_worse_one_went_leaves_k_and_a_resumed_run_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, callback = state(tmp_path), TopK(2)
    validate(callback, at, [0.5, 0.4])
    saved = callback.state_dict()

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(top_k.shutil, "rmtree", die)
    with pytest.raises(KeyboardInterrupt):
        validate(callback, at, [0.3])
    monkeypatch.undo()
    assert len(top_k.kept(tmp_path)) == 2
    (tmp_path / "checkpoints" / "top" / "notes").mkdir()
    resumed, again = TopK(2), state(tmp_path)
    again.step = 20
    resumed.load_state_dict(saved)
    resumed.on_train_start(again)
    assert folders(tmp_path) == ["epoch-0001-0.5", "epoch-0002-0.4", "notes"]
    assert validate(resumed, again, [0.3])[-1] == ["epoch-0002-0.4", "epoch-0003-0.3", "notes"]


def test_in_a_training_they_are_the_best_of_the_diary_as_judged(make_trainer: Make, tmp_path: Path) -> None:
    trainer = make_trainer(
        settings={
            "epochs": 6,
            "optimizer": {"name": "sgd", "lr": 0.3},
            "monitor": {"metric": "loss", "mode": "min"},
            "callbacks": [{"name": "top-k", "k": 2}, {"name": "ema", "decay": 0.9}],
        }
    )
    trainer.fit()
    records = [record for record in trainer.log.read() if record["event"] == "epoch"]
    best = sorted(records, key=lambda record: record["val/loss"])[:2]
    kept = top_k.kept(tmp_path)
    assert [(each.epoch, each.value) for each in kept] == [(record["epoch"], record["val/loss"]) for record in best]
    first = (kept[0].path / "model.safetensors").read_bytes()
    assert first == (tmp_path / "checkpoints" / "best" / "model.safetensors").read_bytes(), "the average, too"


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(LamplighterError, match="k"):
        registry.build("callback", "top-k", {"k": 0})
