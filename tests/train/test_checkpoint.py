"""Checkpoints: whole or absent, exact, and laid out like the parameters they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lamplighter.core.errors import RunError
from lamplighter.train import checkpoint


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))


def test_a_nested_state_comes_back_equal(tmp_path: Path) -> None:
    state: dict[str, Any] = {
        "epoch": 3,
        "best": 0.1 + 0.2,
        "none": None,
        "list": [1, "two", torch.arange(3)],
        "deep": {"a": {"b": torch.tensor(1.5), "empty": {}}},
    }
    checkpoint.save(tmp_path / "last", network(), state)
    loaded = checkpoint.load_state(tmp_path / "last")
    assert loaded["epoch"] == 3 and loaded["best"] == 0.1 + 0.2 and loaded["none"] is None
    assert loaded["list"][:2] == [1, "two"] and torch.equal(loaded["list"][2], torch.arange(3))
    assert loaded["deep"]["a"]["b"] == 1.5 and loaded["deep"]["a"]["empty"] == {}


def test_parameters_and_buffers_come_back_in_the_networks_own_layout(tmp_path: Path) -> None:
    saved = network()
    saved(torch.randn(4, 2, 5, 5))
    checkpoint.save(tmp_path / "last", saved, {})
    loaded = network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    strides = loaded[0].weight.stride()
    checkpoint.load_model(tmp_path / "last", loaded)
    assert loaded[0].weight.stride() == strides != saved[0].weight.stride()
    for name, tensor in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_tied_weights_can_be_saved(tmp_path: Path) -> None:
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    checkpoint.save(tmp_path / "last", tied, {})
    checkpoint.load_model(tmp_path / "last", tied)


def test_another_network_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "last", network(), {})
    for other in (nn.Linear(2, 2), nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))):
        with pytest.raises(RunError, match="belongs to another network"):
            checkpoint.load_model(tmp_path / "last", other)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_an_optimizer_goes_on_exactly_and_in_the_parameters_layout(name: str, tmp_path: Path) -> None:
    def build(weight: torch.Tensor) -> tuple[nn.Parameter, torch.optim.Optimizer]:
        parameter = nn.Parameter(weight.to(memory_format=torch.channels_last))
        if name == "adamw":
            return parameter, torch.optim.AdamW([parameter], fused=True)
        return parameter, torch.optim.SGD([parameter], lr=0.1, momentum=0.9, fused=True)

    def step(parameter: nn.Parameter, optimizer: torch.optim.Optimizer, seed: int) -> None:
        gradient = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(seed))
        parameter.grad = gradient.to(memory_format=torch.channels_last)
        optimizer.step()

    weight, optimizer = build(torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(9)))
    step(weight, optimizer, 0)
    checkpoint.save(tmp_path / "last", nn.Identity(), {"optimizer": checkpoint.optimizer_state(optimizer)})
    twin, resumed = build(weight.detach().clone())
    checkpoint.load_optimizer_state(resumed, checkpoint.load_state(tmp_path / "last")["optimizer"])
    for seed in (1, 2):
        step(weight, optimizer, seed)
        step(twin, resumed, seed)
    assert torch.equal(weight, twin)


def test_an_optimizers_settings_are_those_of_the_recipe_and_not_of_the_checkpoint(tmp_path: Path) -> None:
    parameter = nn.Parameter(torch.ones(2, 2))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    checkpoint.load_optimizer_state(optimizer, {})
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_a_kill_between_the_two_renames_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "last"
    checkpoint.save(path, network(), {"epoch": 1})
    path.rename(tmp_path / ".last.abc.old")
    (tmp_path / ".last.xyz.tmp").mkdir()
    (tmp_path / ".last.xyz.tmp" / "state.json").write_text("{half")
    assert not checkpoint.exists(path)
    checkpoint.repair(path)
    assert checkpoint.exists(path)
    assert checkpoint.load_state(path)["epoch"] == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["last"]


def test_leftovers_of_a_finished_replacement_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "last"
    checkpoint.save(path, network(), {"epoch": 1})
    checkpoint.save(tmp_path / ".last.abc.old", network(), {"epoch": 0})
    checkpoint.repair(path)
    assert checkpoint.load_state(path)["epoch"] == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["last"]


def test_a_failing_save_leaves_the_old_one(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "last", network(), {"epoch": 1})
    with pytest.raises(TypeError):
        checkpoint.save(tmp_path / "last", network(), {"epoch": object()})
    assert checkpoint.load_state(tmp_path / "last")["epoch"] == 1


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "last"
    assert not checkpoint.exists(path)
    checkpoint.save(path, network(), {})
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(RunError, match=r"model\.safetensors: cannot read the checkpoint"):
        checkpoint.load_model(path, network())
    (path / "state.json").write_text("{")
    with pytest.raises(RunError, match="cannot read the checkpoint"):
        checkpoint.load_state(path)
