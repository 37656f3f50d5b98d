"""DeepLabV3 against torchvision's, and dilation in place of stride. Parity: tests/support/parity_segmentation.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from parity import noise, randomised, relative
from torch import nn

from lamplighter import models
from lamplighter.core.errors import LamplighterError
from lamplighter.models.resnet import ResNet
from lamplighter.models.weights.loading import load
from lamplighter.nn.residual import BasicBlock, Bottleneck


@pytest.mark.parametrize("aux", [False, True])
@pytest.mark.parametrize("depth", [50, 101])
def test_is_made_of_torchvisions_layers_in_torchvisions_order(depth: int, aux: bool) -> None:
    build = getattr(torchvision.models.segmentation, f"deeplabv3_resnet{depth}")
    with torch.device("meta"):
        ours = models.create(f"deeplabv3_resnet{depth}", in_channels=3, num_classes=21, aux=aux)
        theirs = build(weights=None, weights_backbone=None, num_classes=21, aux_loss=aux)
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    layers = (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.Dropout)
    assert {n: repr(m) for n, m in ours.named_modules() if isinstance(m, layers)} == {
        n: repr(m) for n, m in theirs.named_modules() if isinstance(m, layers)
    }


def test_has_the_published_size() -> None:
    with torch.device("meta"):
        model = models.create("deeplabv3_resnet50", in_channels=3, num_classes=21)
        light = models.create("deeplabv3_resnet18", in_channels=3, num_classes=21)
    assert len(model.state_dict()) == 362
    assert sum(p.numel() for p in model.parameters()) == 39_638_869
    assert sum(p.numel() for p in light.parameters()) == 15_904_085


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_dilation_gives_what_strides_give_and_the_positions_between(block: Any) -> None:
    """The same weights: every second position of the dense map is the strided network's, to the last digits."""
    depths, x = (1, 1, 2, 2), noise(1, 3, 64, 32)
    strided, once, twice = (
        randomised(ResNet(block, depths, 3, 0, output_stride=stride).double()).eval()
        for stride in (32, 16, 8)  # type: ignore[arg-type]
    )
    expected = strided.features(x)  # type: ignore[operator]
    for dense, steps in ((once, {"layer3": 1, "layer4": 2}), (twice, {"layer3": 2, "layer4": 4})):
        maps = dense.features(x)  # type: ignore[operator]
        for name, step in steps.items():
            assert relative(maps[name][..., ::step, ::step], expected[name]) <= 1e-12
            assert maps[name].shape[2:] == (expected[name].shape[2] * step, expected[name].shape[3] * step)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_rates_reach_equally_far_in_the_image(stride: int) -> None:
    model = models.create("deeplabv3_resnet18", in_channels=2, num_classes=3, output_stride=stride)
    dilations = [branch[0].dilation[0] for branch in list(model.classifier[0].convs)[1:-1]]
    assert [rate * stride for rate in dilations] == [96, 192, 288]
    maps = model.features(torch.zeros(2, 2, 64, 64))
    assert maps["layer4"].shape[2] == 64 // stride


def test_rates_can_be_chosen() -> None:
    model = models.create("deeplabv3_resnet18", in_channels=2, num_classes=3, rates=[1, 2])
    assert len(model.classifier[0].convs) == 4


@pytest.mark.parametrize("size", [(1, 1), (17, 40)])
def test_any_image_gives_a_map_of_its_size(size: tuple[int, int]) -> None:
    model = models.create("deeplabv3_resnet18", in_channels=2, num_classes=3, stem="small").eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 2, *size)).shape == (1, 3, *size)


def test_a_batch_of_one_image_trains() -> None:
    model = models.create("deeplabv3_resnet18", in_channels=2, num_classes=3).train()
    model(torch.randn(1, 2, 64, 64, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_the_second_classifier_is_there_when_asked_for() -> None:
    with_aux = models.create("deeplabv3_resnet18", in_channels=2, num_classes=3, aux=True).eval()
    maps = with_aux.features(torch.zeros(1, 2, 32, 40))
    assert with_aux.decode_aux(maps, (32, 40)).shape == (1, 3, 32, 40)
    without = models.create("deeplabv3_resnet18", in_channels=2, num_classes=3).eval()
    with pytest.raises(LamplighterError, match="aux=True"):
        without.decode_aux(maps, (32, 40))


def test_a_resnets_own_file_fills_the_backbone() -> None:
    reference = randomised(torchvision.models.resnet18())
    model = models.create("deeplabv3_resnet18", in_channels=3, num_classes=2)
    report = load(model, reference.state_dict(), strict=False)
    assert report.layout == "its encoder alone" and len(report.loaded) == 120
    assert torch.equal(model.backbone.layer4[1].conv2.weight, reference.layer4[1].conv2.weight)
