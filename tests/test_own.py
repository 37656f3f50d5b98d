"""``lamp.fit(model=..., data=(x, y))``: one's own network and arrays, from training to the bundle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lamplighter as lamp
from lamplighter.run import Run

FAST = {"epochs": 4, "precision": "fp32", "optimizer": {"name": "adamw", "lr": 0.02}, "progress": False}


def moons(rows: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import make_moons

    x, y = make_moons(rows, noise=0.1, random_state=0)
    return x.astype(np.float32), y


def network(out: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, out))


def test_a_module_is_trained_in_place_judged_and_exported(tmp_path: Path) -> None:
    model, data = network(), moons(600)
    before = model[0].weight.detach().clone()
    run = lamp.fit(
        model=model,
        task="classification",
        data=data,
        out=tmp_path / "run",
        labels=["up", "down"],
        threads=1,
        **{**FAST, "epochs": 12},
    )
    assert run.metrics["accuracy"].value > 0.9
    assert not torch.equal(model[0].weight, before)
    x = torch.from_numpy(data[0][:50])
    bundle = run.export()
    answers = bundle.predict(data[0][:50])
    with torch.no_grad():
        expected = model(x).argmax(1)
    assert [answer["label"] for answer in answers] == [("up", "down")[index] for index in expected]
    assert bundle.manifest.recipe["train"]["epochs"] == 12
    assert run.evaluate("val")["accuracy"] == run.val_metrics["accuracy"]


def test_regression_by_the_targets(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(400, 2))
    y = 3 * x[:, 0] - x[:, 1] + 100
    run = lamp.fit(model=network(1), data=(x, y), out=tmp_path / "run", threads=1, **{**FAST, "epochs": 20})
    assert run.recipe.task.name == "regression"
    assert run.metrics["r2"].value > 0.9


def test_an_interrupted_training_of_a_module_is_resumed(tmp_path: Path) -> None:
    data, whole = moons(300), network()
    lamp.fit(model=whole, data=data, out=tmp_path / "whole", threads=1, **FAST)

    from lamplighter.core.errors import InterruptedRunError
    from lamplighter.train.callbacks.base import Callback, State

    class Stop(Callback):
        def on_epoch_end(self, state: State) -> None:
            if state.epoch == 2:
                raise InterruptedRunError("stopped", 2)

    cut = network()
    with pytest.raises(InterruptedRunError):
        lamp.fit(model=cut, data=data, out=tmp_path / "cut", threads=1, callbacks=[Stop()], **FAST)
    again = network()
    lamp.fit(model=again, data=data, out=tmp_path / "cut", threads=1, resume=True, **FAST)
    for one, other in zip(whole.parameters(), again.parameters()):
        assert torch.equal(one, other)


def test_another_process_says_why_it_cannot_rebuild_the_run(tmp_path: Path) -> None:
    lamp.fit(model=network(), data=moons(300), out=tmp_path / "run", threads=1, **FAST)
    assert Run(tmp_path / "run").metrics["accuracy"].n == 45
    done = subprocess.run(
        [sys.executable, "-m", "lamplighter", "export", str(tmp_path / "run")], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "only that process has" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"recipe": "digits", "model": network(), "data": moons(40)}, "not both"),
        ({"recipe": "digits", "epochs": 3}, "'epochs' goes with model="),
        ({"recipe": "digits", "data": moons(40)}, "'data' goes with model="),
        ({}, "give a recipe, or model="),
        ({"model": "mlp", "data": moons(40)}, "give a torch.nn.Module, not str"),
        ({"model": network()}, "give the arrays"),
        ({"model": network(), "data": moons(40), "epoch": 3}, "train.epoch: unknown key .did you mean 'epochs'"),
        ({"model": network(), "data": moons(40), "task": "clasification"}, "did you mean 'classification'"),
    ],
)
def test_what_cannot_be_meant_is_named(arguments: dict[str, object], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(lamp.LamplighterError, match=complaint):
        lamp.fit(out=tmp_path / "run", **arguments)  # type: ignore[arg-type]


def test_a_module_of_another_width_is_named(tmp_path: Path) -> None:
    with pytest.raises(lamp.LamplighterError, match=r"shape .*5"):
        lamp.fit(model=network(5), data=moons(300), out=tmp_path / "run", threads=1, **FAST)


class Embeds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(2, 8), nn.Linear(8, 2)

    def forward_features(self, x: Tensor) -> Tensor:
        return self.body(x).relu()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


def test_images_and_embeddings_of_ones_own(tmp_path: Path) -> None:
    run = lamp.fit(model=Embeds(), data=moons(300), out=tmp_path / "run", threads=1, **FAST)
    assert run.export().manifest.outputs == ("logits", "embedding")


@pytest.mark.parametrize(
    ("x", "complaint"),
    [
        (np.zeros((60, 2), np.int64), r"does not take this data \(x: torch.int64 of shape \(2, 2\)"),
        (np.zeros((60, 5), np.float32), r"does not take this data .*mat1 and mat2"),
    ],
)
def test_inputs_that_the_network_does_not_take_are_named(x: np.ndarray, complaint: str, tmp_path: Path) -> None:
    y = np.arange(60) % 2
    with pytest.raises(lamp.LamplighterError, match=complaint):
        lamp.fit(model=network(), data=(x, y), out=tmp_path / "run", threads=1, **FAST)
    assert not (tmp_path / "run").exists()


def test_a_network_that_gives_a_tuple_is_named(tmp_path: Path) -> None:
    with pytest.raises(lamp.LamplighterError, match=r"does not take this data.*one tensor"):
        lamp.fit(model=nn.LSTM(2, 2), data=moons(60), out=tmp_path / "run", threads=1, **FAST)


def test_minus_one_is_no_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = moons(300)
    with pytest.raises(lamp.LamplighterError, match=r"no row has class 0.*-1 means no label.*\(y > 0\)"):
        lamp.fit(model=network(), data=(x, 2 * y - 1), out=tmp_path / "run", threads=1, **FAST)
    y[::10] = -1
    lamp.fit(model=network(), data=(x, y), out=tmp_path / "run", threads=1, **{**FAST, "progress": True})
    assert "30 of 300 labels are -1, which means no label" in capsys.readouterr().err


def test_callbacks_by_name_and_whole_numbers_as_values(tmp_path: Path) -> None:
    x, y = moons(300)
    callbacks = [{"name": "ema", "decay": 0.5}]
    run = lamp.fit(
        model=network(1), task="regression", data=(x, y), out=tmp_path / "run", threads=1, callbacks=callbacks, **FAST
    )
    assert run.recipe.train.callbacks[0].name == "ema"
    assert run.metrics["r2"].value > 0
