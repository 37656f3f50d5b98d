"""Weights come back into torch as they were, tied or oddly laid out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lamplighter.bundle.formats import safetensors
from lamplighter.core.errors import BundleError
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.signature import Column, Signature

SIGNATURE = Signature(inputs=(), tensors=(), targets=(Column(name="y", kind="numeric"),))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.first = nn.Linear(4, 5)
        self.second = nn.Linear(4, 5)
        self.second.weight = self.first.weight
        self.register_buffer("view", torch.arange(12.0).reshape(3, 4).T)


def write(module: nn.Module, folder: Path) -> dict[str, torch.Tensor]:
    name = safetensors.write(ExportSpec(module, "regression", ("value",)), folder, (), SIGNATURE)
    return load_file(folder / name)


def test_round_trip(tmp_path: Path, random_weights: Any) -> None:
    module = random_weights(Tied().to(memory_format=torch.channels_last))
    stored = write(module, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]
    again = Tied()
    again.load_state_dict(stored, strict=True)
    for name, tensor in module.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_state_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    class Odd(nn.Linear):
        def get_extra_state(self) -> Any:
            return {"count": 1}

    with pytest.raises(BundleError, match="_extra_state"):
        write(Odd(2, 2), tmp_path)
    assert list(tmp_path.iterdir()) == []
