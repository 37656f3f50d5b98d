"""Which maps are kept."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lamplighter.core.errors import LamplighterError
from lamplighter.nn.staged import Staged, coarsest


def staged() -> Staged:
    layers = [nn.Conv2d(1, 2, 3, 2, 1), nn.Conv2d(2, 3, 1), nn.MaxPool2d(2), nn.Conv2d(3, 4, 1)]
    return Staged(layers, [2, 1, 2, 1], "Example")


def test_the_last_map_of_each_resolution_is_kept() -> None:
    x = torch.randn(2, 1, 8, 8)
    maps = staged()(x)
    assert {name: tuple(m.shape[1:]) for name, m in maps.items()} == {"features.1": (3, 4, 4), "features.3": (4, 2, 2)}
    assert coarsest(maps) is maps["features.3"]


def test_its_tensors_have_the_names_of_a_sequence() -> None:
    assert list(staged().state_dict()) == [f"{i}.{part}" for i in (0, 1, 3) for part in ("weight", "bias")]


def test_channels_are_checked() -> None:
    with pytest.raises(LamplighterError, match="Example: the images have 3 channels"):
        staged()(torch.zeros(1, 3, 8, 8))
