"""Every registered callback in real runs, and in trainings that are interrupted anywhere: they go on bit for bit."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import lamplighter as lamp
from lamplighter.core import registry
from lamplighter.core.errors import InterruptedRunError
from lamplighter.core.recipe import Recipe
from lamplighter.data.rows import TensorRows
from lamplighter.models.cnn import CNN
from lamplighter.train import checkpoint
from lamplighter.train.precision import Precision
from lamplighter.train.progress import NoProgress
from lamplighter.train.signals import StopRequest
from lamplighter.train.trainer import Trainer

Make = Callable[..., Any]
SHAPE = (2, 8, 8)
NAMES = registry.names("callback")
PARAMS: dict[str, list[dict[str, Any]]] = {
    "early-stopping": [{"patience": 2}],
    "top-k": [{"k": 2}],
    "ema": [{"decay": 0.8, "batch_norm": mode} for mode in ("average", "reestimate", "copy")],
    "swa": [{"start": 0.3}],
    "mixup": [{"until": 0.7}, {"per_sample": True}],
}
"""Settings under which a callback has something to do in these few steps; others are built with their defaults."""

SETTINGS: dict[str, dict[str, Any]] = {
    "snapshots": {"schedule": {"name": "warm-restarts", "t_0": 0.3, "t_mult": 1}},
}
"""What a callback asks of the rest of the recipe."""

CASES = [(name, params) for name in NAMES for params in PARAMS.get(name, [{}])]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class StopAfter(NoProgress):
    """Asks to stop after so many steps, as a signal would."""

    def __init__(self, stop: StopRequest, steps: int) -> None:
        super().__init__()
        self.request, self.left = stop, steps

    def advance(self, batches: int, rows: int) -> None:
        self.left -= 1
        if self.left == 0:
            self.request.signum = signal.SIGTERM


@pytest.fixture
def trainer(make_task: Make, make_trainer: Make, rows: Make, tmp_path: Path) -> Make:
    """``trainer(case, folder, stop_after=None)``: bytes as images, batch norm, dropout, accumulation, bf16, some rows
    without a label, validations within epochs."""

    def make(case: tuple[str, dict[str, Any]], folder: str, stop_after: int | None = None) -> Trainer:
        name, params = case
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = CNN(2, 3, width=4, dropout=0.3)
        data = rows(140, SHAPE).tensors
        x = (data["x"] * 40 + 128).clamp(0, 255).to(torch.uint8)
        y = torch.where(torch.arange(140) % 7 == 0, -1, data["y"])
        stop = StopRequest()
        (tmp_path / folder).mkdir(exist_ok=True)
        made: Trainer = make_trainer(
            task=make_task(SHAPE, model=model, input_statistics=([128.0], [40.0])),
            train=TensorRows({"x": x, "y": y}),
            val=TensorRows({"x": x[:40], "y": data["y"][:40]}),
            settings={
                "epochs": 4,
                "optimizer": {"name": "sgd", "lr": 0.05},
                "accumulate": 2,
                "validate_steps": 3,
                "callbacks": [{"name": name, **params}],
                **SETTINGS.get(name, {}),
            },
            batch_size=16,
            precision=Precision("bf16", True),
            folder=tmp_path / folder,
            facts={"num_classes": 3},
            stop=stop,
            progress=StopAfter(stop, stop_after) if stop_after else None,
        )
        return made

    return make


def outcome(trainer: Trainer) -> dict[str, Any]:
    """Everything a training leaves, without times."""
    found: dict[str, Any] = {"diary": [{k: v for k, v in r.items() if k != "seconds"} for r in trainer.log.read()]}
    for path in sorted((trainer.folder / "checkpoints").rglob("model.safetensors")):
        name = str(path.parent.relative_to(trainer.folder))
        found[name] = path.read_bytes()
        found[f"{name} callbacks"] = _plain(checkpoint.load_state(path.parent).get("callbacks"))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.tolist() if isinstance(value, Tensor) else value


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(map(str, [case[0], *case[1].values()])))
def test_an_interrupted_training_goes_on_bit_for_bit(case: tuple[str, dict[str, Any]], trainer: Make) -> None:
    """5 steps an epoch: after a validation within one, at its end, and twice in one training."""
    whole = trainer(case, "whole")
    whole.fit()
    expected = outcome(whole)
    for stops in ([3], [10], [7, 6]):
        folder = f"cut {stops}"
        for stop_after in stops:
            cut = trainer(case, folder, stop_after)
            cut.resume()
            if cut.finished:
                break
            try:
                cut.fit()
            except InterruptedRunError:
                torch.manual_seed(999)
        resumed = trainer(case, folder)
        resumed.resume()
        if not resumed.finished:
            resumed.fit()
        found = outcome(resumed)
        assert found.keys() == expected.keys()
        differing = [key for key in expected if found[key] != expected[key]]
        assert differing == [], f"after stops {stops}"


DIGITS = """
name: follows
threads: 1
data: {name: digits, batch_size: 64}
model: {name: mlp, hidden: [32], norm: batch}
task: {name: classification}
train: {epochs: 4, precision: fp32, optimizer: {name: adamw, lr: 0.01}}
"""


@pytest.mark.parametrize("name", NAMES)
def test_in_a_run_the_weights_that_were_judged_are_kept(name: str, tmp_path: Path) -> None:
    recipe = Recipe.parse(DIGITS)
    train = {**SETTINGS.get(name, {}), "callbacks": [{"name": name, **PARAMS.get(name, [{}])[0]}]}
    run = lamp.fit(recipe.with_(train={**recipe.to_dict()["train"], **train}), tmp_path / "run", progress=False)
    best = max(record["val/accuracy"] for record in run.history if record["event"] == "epoch")
    assert run.evaluate("val")["accuracy"].value == best > 0.5
    assert run.finished and (run.path / "report.html").is_file()


def test_the_averaged_weights_are_exported(tmp_path: Path) -> None:
    recipe = Recipe.parse(DIGITS, set=['train.callbacks=[{"name": "ema", "decay": 0.9}]', "train.epochs=1"])
    run = lamp.fit(recipe, tmp_path / "run", progress=False)
    averages = checkpoint.load_state(run.path / "checkpoints" / "last")["callbacks"][0]["averages"]
    run.export()
    exported = load_file(run.path / "bundle" / "weights.safetensors")
    task = dict(run.task().named_parameters())
    assert all(torch.equal(task[key], averages[key]) for key in task)
    assert any(torch.equal(tensor, averages["model.head.weight"]) for tensor in exported.values())
