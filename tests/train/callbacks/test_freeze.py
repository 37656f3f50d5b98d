"""Freezing for some epochs: bit-equal until then, learning after, resumed alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter import models
from lamplighter.core import registry
from lamplighter.core.errors import InterruptedRunError, LamplighterError, TrainingError
from lamplighter.train import rng
from lamplighter.train.callbacks.base import Callback, State
from lamplighter.train.callbacks.freeze import Freeze
from lamplighter.train.freezing import is_frozen

SHAPE = (3, 8, 8)


class Watch(Callback):
    """Copies of all parameters and buffers at the end of each epoch, and which blocks are frozen in it."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []
        self.frozen: list[list[str]] = []

    def on_train_start(self, state: State) -> None:
        self.states.append(_copied(state.task))

    def on_epoch_end(self, state: State) -> None:
        self.states.append(_copied(state.task))
        network: Any = state.task.model
        parts = {
            "stem": network.stem,
            "stages.0": network.stages[0],
            "stages.1": network.stages[1],
            "head": network.head,
        }
        self.frozen.append([name for name, part in parts.items() if is_frozen(part)])


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


@pytest.fixture
def training(make_trainer: Any, make_task: Any, rows: Any) -> Callable[..., Any]:
    """``training(freeze, folder=..., **settings)``: a trainer of a small CNN and the `Watch` that follows it."""

    def make(freeze: dict[str, Any] | None, folder: Path | None = None, **settings: Any) -> tuple[Any, Watch]:
        with rng.untouched():
            torch.manual_seed(0)
            model = models.create("cnn", in_channels=3, num_classes=3, width=4)
        watch = Watch()
        callbacks = [{"name": "freeze", **freeze}] if freeze is not None else []
        given = {"epochs": 4, "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1}, **settings}
        trainer = make_trainer(
            make_task(SHAPE, model),
            rows(96, SHAPE, 0),
            rows(32, SHAPE, 1),
            settings={**given, "callbacks": [*callbacks, *given.get("callbacks", [])]},
            folder=folder,
            callbacks=[watch],
        )
        return trainer, watch

    return make


def moved(watch: Watch, epoch: int) -> list[str]:
    """Blocks of which anything changed in an epoch, counted from 1."""
    before, after = watch.states[epoch - 1], watch.states[epoch]
    names = {name.removeprefix("model.") for name in before if not torch.equal(before[name], after[name])}
    blocks = ("stem", "stages.0", "stages.1", "head")
    return [block for block in blocks if any(name.startswith(f"{block}.") for name in names)]


ALL = ["stem", "stages.0", "stages.1", "head"]


@pytest.mark.parametrize(
    ("freeze", "learning"),
    [
        ({}, [ALL[3:], ALL, ALL, ALL]),
        ({"until_epoch": 2}, [ALL[3:], ALL[3:], ALL, ALL]),
        ({"until_epoch": None}, [ALL[3:]] * 4),
        ({"until_epoch": 0}, [ALL] * 4),
        ({"up_to": 1, "until_epoch": 2}, [ALL[1:], ALL[1:], ALL, ALL]),
        ({"up_to": "stages.0", "until_epoch": None}, [ALL[2:]] * 4),
        ({"match": ["stages.1"], "until_epoch": 1}, [["stem", "stages.0", "head"], ALL, ALL, ALL]),
        ({"gradual": True}, [ALL[3:], ALL[2:], ALL[1:], ALL]),
        ({"gradual": True, "up_to": 2, "until_epoch": 2}, [ALL[2:], ALL[2:], ALL[1:], ALL]),
        ({"gradual": True, "match": ["stem", "stages"]}, [ALL[3:], ALL[1:], ALL, ALL]),
    ],
)
def test_what_learns_in_each_epoch(training: Any, freeze: dict[str, Any], learning: list[list[str]]) -> None:
    trainer, watch = training(freeze)
    trainer.fit()
    assert [moved(watch, epoch) for epoch in (1, 2, 3, 4)] == learning


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}},
        {"accumulate": 2},
        {"validate_steps": 1},
        {"clip": {"name": "norm", "max_norm": 1.0}},
        {"layer_decay": 0.5},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_frozen_blocks_are_bit_equal_under_other_settings(training: Any, settings: dict[str, Any]) -> None:
    """Momentum, decay, accumulation, and validations within an epoch, after which everything goes to train mode."""
    trainer, watch = training({"up_to": 2, "until_epoch": 2}, epochs=3, **settings)
    trainer.fit()
    assert [moved(watch, epoch) for epoch in (1, 2, 3)] == [ALL[2:], ALL[2:], ALL]


@pytest.mark.parametrize("callback", [{"name": "ema", "decay": 0.9}, {"name": "swa", "start": 0.3}], ids=["ema", "swa"])
def test_averages_of_frozen_blocks_are_the_blocks(training: Any, callback: dict[str, Any], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    trainer, watch = training({"up_to": 2, "until_epoch": None}, callbacks=[callback])
    trainer.fit()
    best = load_file(tmp_path / "checkpoints" / "best" / "model.safetensors")
    for name, tensor in watch.states[0].items():
        if name.startswith(("model.stem.", "model.stages.0.")):
            assert torch.equal(best[name], tensor), name


def test_statistics_are_estimated_anew_behind_frozen_ones_as_they_are(training: Any, rows: Any, tmp_path: Path) -> None:
    """SWA looks at the training rows through the frozen stem's own statistics, and those stay."""
    from safetensors.torch import load_file

    trainer, _ = training({"up_to": "stem", "until_epoch": None}, callbacks=[{"name": "swa", "start": 0.3}], epochs=2)
    network: Any = trainer.task.model
    network.stem.norm.running_mean.fill_(0.5)
    network.stem.norm.running_var.fill_(9.0)
    trainer.fit()
    best = load_file(tmp_path / "checkpoints" / "best" / "model.safetensors")
    assert best["model.stem.norm.running_var"].unique().tolist() == [9.0]
    network.load_state_dict({name.removeprefix("model."): t for name, t in best.items() if name.startswith("model.")})
    with torch.no_grad():
        seen = network.stages[0].down.conv(network.stem.eval()(rows(96, SHAPE, 0).tensors["x"]))
    torch.testing.assert_close(
        best["model.stages.0.down.norm.running_mean"], seen.mean((0, 2, 3)), rtol=1e-4, atol=1e-5
    )


SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9}
ADAMW = {"name": "adamw", "lr": 0.01}


@pytest.mark.parametrize("optimizer", [SGD, ADAMW], ids=["sgd", "adamw"])
@pytest.mark.parametrize("freeze", [{"until_epoch": 2}, {"gradual": True}], ids=["at once", "gradual"])
@pytest.mark.parametrize("steps", [2, 3, 8])
def test_an_interrupted_training_goes_on_bit_for_bit(
    training: Any, tmp_path: Path, freeze: dict[str, Any], optimizer: dict[str, Any], steps: int
) -> None:
    """Stopped in the middle of an epoch or at its end, while frozen, partly frozen, or after."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole, _ = training(freeze, tmp_path / "whole", optimizer=optimizer)
    whole.fit()

    class Stop(Callback):
        def on_step_end(self, state: State) -> None:
            if state.step == steps:
                cut.stop.signum = 15

    cut, _ = training(freeze, tmp_path / "cut", optimizer=optimizer)
    stop = Stop()
    cut.callbacks.append(stop)
    cut.step_callbacks.append(stop)
    with pytest.raises(InterruptedRunError):
        cut.fit()
    resumed, _ = training(freeze, tmp_path / "cut", optimizer=optimizer)
    resumed.callbacks.append(Callback())
    assert resumed.resume()
    resumed.fit()
    expected = _copied(whole.task)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in _copied(resumed.task).items())


def test_late_parameters_step_like_those_of_torchs_plain_sgd(training: Any) -> None:
    """Momentum from 0, with the fused kernel and with torch's loop over parameters."""

    class Loop(Callback):
        def on_train_start(self, state: State) -> None:
            for group in state.optimizers["main"].param_groups:
                group["fused"], group["foreach"] = False, False

    fused, _ = training({"until_epoch": 1}, optimizer=SGD)
    plain, _ = training({"until_epoch": 1}, optimizer=SGD)
    plain.callbacks.append(Loop())
    for trainer in (fused, plain):
        trainer.fit()
    for name, tensor in _copied(fused.task).items():
        torch.testing.assert_close(tensor, _copied(plain.task)[name], rtol=1e-4, atol=1e-5)


def test_nothing_is_left_frozen_after_training(training: Any) -> None:
    trainer, _ = training({"until_epoch": None})
    trainer.fit()
    assert all(p.requires_grad for p in trainer.task.model.parameters())
    assert not any("train" in module.__dict__ for module in trainer.task.modules())


def test_the_number_of_frozen_blocks_depends_on_the_epoch_alone() -> None:
    callback = Freeze(gradual=True, until_epoch=2)
    callback.blocks = [None] * 3  # type: ignore[list-item]
    assert [callback.still_frozen(epoch) for epoch in range(7)] == [3, 3, 2, 1, 0, 0, 0]


def test_mistakes_are_told(training: Any) -> None:
    with pytest.raises(TrainingError, match="gradual needs until_epoch"):
        Freeze(gradual=True, until_epoch=None)
    with pytest.raises(LamplighterError, match="up_to"):
        registry.build("callback", "freeze", {"up_to": -1})
    trainer, _ = training({"up_to": 9})
    with pytest.raises(TrainingError, match=r"1 stem, 2 stages\.0, 3 stages\.1"):
        trainer.fit()
    trainer, _ = training({"match": ["stages.9"]})
    with pytest.raises(TrainingError, match=r"called 'stages\.9' \(did you mean"):
        trainer.fit()
