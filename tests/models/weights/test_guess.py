"""Which architecture a file is of."""

from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision

from lamplighter import models
from lamplighter.models.weights.guess import architecture


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnext50_32x4d", "wide_resnet50_2"])
def test_torchvisions_networks_are_told_apart(name: str) -> None:
    with torch.device("meta"):
        tensors = getattr(torchvision.models, name)(num_classes=17).state_dict()
    assert architecture({f"module.{key}": tensor for key, tensor in tensors.items()}) == name


@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "vit_b_16", "vit_b_32", "vit_l_16"]
)
def test_torchvisions_smaller_and_patchwise_networks_are_told_apart(name: str) -> None:
    with torch.device("meta"):
        tensors = getattr(torchvision.models, name)(num_classes=17).state_dict()
    assert architecture(tensors) == name


@pytest.mark.parametrize("name", ["deeplabv3_resnet50", "deeplabv3_resnet101"])
def test_torchvisions_segmentation_networks_are_told_apart(name: str) -> None:
    with torch.device("meta"):
        build = getattr(torchvision.models.segmentation, name)
        tensors = build(weights=None, weights_backbone=None, num_classes=17).state_dict()
    assert architecture(tensors) == name


@pytest.mark.parametrize("name", ["unet_resnet18", "unet_resnet34", "unet_resnet50"])
def test_smps_unets_are_told_apart(name: str) -> None:
    tensors = smp.Unet(name.removeprefix("unet_"), encoder_weights=None, classes=17).state_dict()
    assert architecture(tensors) == name


def test_timms_mobilenet_is_told() -> None:
    assert architecture(timm.create_model("mobilenetv1_100", num_classes=17).state_dict()) == "mobilenet_v1"


def test_head_and_channels_may_differ_the_rest_not() -> None:
    tensors = models.create("cnn", in_channels=1, num_classes=77).state_dict()
    assert architecture(tensors) == "cnn"
    run = {f"model.{key}": t for key, t in tensors.items()} | {"norm.mean": torch.zeros(1), "norm.std": torch.ones(1)}
    assert architecture(run) == "cnn"
    assert architecture({key: t for key, t in tensors.items() if not key.startswith("head.")}) == "cnn"
    assert architecture(tensors | {"extra.weight": torch.zeros(1)}) is None
    assert architecture(models.create("cnn", in_channels=1, num_classes=7, width=8).state_dict()) is None
    assert architecture({"a": torch.zeros(1)}) is None
