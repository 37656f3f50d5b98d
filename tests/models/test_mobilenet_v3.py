"""MobileNetV3 against torchvision's. Parity: tests/support/parity_mobilenet.py."""

from __future__ import annotations

import pytest
import torch
import torchvision
from parity import noise, randomised, relative
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from lamplighter import models

SIZES = {"mobilenet_v3_small": (244, 2_542_856), "mobilenet_v3_large": (312, 5_483_032)}
MAPS = {"mobilenet_v3_small": (0, 1, 3, 8, 12), "mobilenet_v3_large": (1, 3, 6, 12, 16)}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("width", [1.0, 0.75])
def test_is_made_of_torchvisions_layers_in_torchvisions_order(name: str, width: float) -> None:
    with torch.device("meta"):
        ours = models.create(name, in_channels=3, num_classes=1000, width_mult=width)
        theirs = getattr(torchvision.models, name)(width_mult=width)
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    layers = (nn.Conv2d, nn.BatchNorm2d, nn.Linear, nn.Hardswish, nn.Dropout)
    assert {n: repr(m) for n, m in ours.named_modules() if isinstance(m, layers)} == {
        n: repr(m) for n, m in theirs.named_modules() if isinstance(m, layers)
    }


@pytest.mark.parametrize("name", SIZES)
def test_has_the_published_size(name: str) -> None:
    model = models.create(name, in_channels=3, num_classes=1000)
    assert (len(model.state_dict()), sum(p.numel() for p in model.parameters())) == SIZES[name]


@pytest.mark.parametrize("name", SIZES)
def test_every_normalisation_has_the_papers_epsilon_and_momentum(name: str) -> None:
    norms = [m for m in models.create(name, in_channels=3, num_classes=2).modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


@pytest.mark.parametrize("name", SIZES)
def test_feature_maps_have_torchvisions_names_and_numbers(name: str) -> None:
    reference = randomised(getattr(torchvision.models, name)(num_classes=2).double()).eval()
    ours = models.create(name, in_channels=3, num_classes=2).double().eval()
    models.load_reference(ours, reference.state_dict())
    names = [f"features.{index}" for index in MAPS[name]]
    theirs = create_feature_extractor(reference, names)(noise(1, 3, 64, 96))
    maps = ours.features(noise(1, 3, 64, 96))
    assert list(maps) == names
    assert [m.shape[2] for m in maps.values()] == [32, 16, 8, 4, 2]
    assert all(relative(maps[key], theirs[key]) <= 1e-12 for key in names)


@pytest.mark.parametrize("name", SIZES)
def test_the_small_stem_leaves_out_the_first_two_halvings(name: str) -> None:
    small = models.create(name, in_channels=1, num_classes=2, width_mult=0.25, stem="small").eval()
    assert [m.shape[2] for m in small.features(torch.zeros(1, 1, 32, 32)).values()] == [32, 16, 8, 4]
