"""ResNets against torchvision's: names, layers, feature maps, and mistakes that the parity matrix must see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from parity import noise, randomised, relative, worst
from torch import Tensor, nn

from lamplighter import models
from lamplighter.models.resnet import ResNet
from lamplighter.nn.residual import BasicBlock, Bottleneck

NAMES = ["resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "wide_resnet50_2"]


def pair(name: str, classes: int = 7) -> tuple[ResNet, nn.Module]:
    """Ours and torchvision's with the same random weights, loaded strictly by name."""
    reference = randomised(getattr(torchvision.models, name)(num_classes=classes).double())
    ours: ResNet = models.create(name, in_channels=3, num_classes=classes).double()
    ours.load_state_dict(reference.state_dict(), strict=True)
    return ours, reference


def small_pair(groups: int = 1, width: int = 64) -> tuple[ResNet, nn.Module]:
    """One bottleneck in each stage: quick, and every line of the network is in it."""
    options: dict[str, int] = {"num_classes": 7, "groups": groups, "width_per_group": width}
    theirs = torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], **options)
    reference = randomised(theirs.double())
    ours = ResNet(Bottleneck, (1, 1, 1, 1), in_channels=3, **options).double()
    ours.load_state_dict(reference.state_dict(), strict=True)
    return ours, reference


@pytest.mark.parametrize(("groups", "width"), [(1, 64), (32, 4), (1, 128)])
def test_equals_torchvision_with_groups_and_wide_blocks(groups: int, width: int) -> None:
    """What tells ResNeXt-50 and Wide ResNet-50-2 from ResNet-50, at a depth that computes quickly."""
    found = worst(*small_pair(groups, width), (noise(2, 3, 40, 33),))
    assert max(found.values()) <= 1e-10, found


@pytest.mark.parametrize("name", NAMES)
def test_is_made_of_torchvisions_layers_in_torchvisions_order(name: str) -> None:
    """Every layer with its sizes, strides, paddings, groups, epsilons and momenta, in the order of the checkpoint."""
    with torch.device("meta"):
        ours, theirs = models.create(name, in_channels=3, num_classes=1000), getattr(torchvision.models, name)()
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    layers = (nn.Conv2d, nn.BatchNorm2d, nn.Linear, nn.MaxPool2d)
    assert {n: repr(m) for n, m in ours.named_modules() if isinstance(m, layers)} == {
        n: repr(m) for n, m in theirs.named_modules() if isinstance(m, layers)
    }


@pytest.mark.parametrize(("name", "keys", "parameters"), [("resnet18", 122, 11_689_512), ("resnet50", 320, 25_557_032)])
def test_has_the_published_size(name: str, keys: int, parameters: int) -> None:
    model = models.create(name, in_channels=3, num_classes=1000)
    assert len(model.state_dict()) == keys
    assert sum(p.numel() for p in model.parameters()) == parameters


def first(model: ResNet) -> Any:
    return model.layer2[0]


def wrong_epsilon(model: ResNet) -> None:
    first(model).bn2.eps = 1.1e-5


def missing_relu(model: ResNet) -> None:
    first(model).relu = nn.Identity()


def missing_stem_relu(model: ResNet) -> None:
    model.relu = nn.Identity()  # type: ignore[assignment]


def stride_in_the_first_convolution(model: ResNet) -> None:
    first(model).conv1.stride, first(model).conv2.stride = (2, 2), (1, 1)


def wrong_momentum(model: ResNet) -> None:
    first(model).bn1.momentum = 0.11


def no_shortcut(model: ResNet) -> None:
    first(model).downsample[1].weight.data.zero_()


def average_for_maximum(model: ResNet) -> None:
    model.maxpool = nn.AvgPool2d(3, stride=2, padding=1)


MUTATIONS = [
    wrong_epsilon,
    missing_relu,
    missing_stem_relu,
    stride_in_the_first_convolution,
    wrong_momentum,
    no_shortcut,
    average_for_maximum,
]


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_the_comparison_sees_a_plausible_mistake(mutate: Callable[[ResNet], None]) -> None:
    ours, reference = small_pair()
    mutate(ours)
    found = worst(ours, reference, (noise(2, 3, 40, 33),))
    assert max(found.values()) > 1e-8, found


def test_the_small_stem_keeps_the_resolution() -> None:
    small = models.create("resnet18", in_channels=1, num_classes=10, stem="small").eval()
    maps = small.features(torch.zeros(2, 1, 32, 32))
    assert [(*m.shape[1:],) for m in maps.values()] == [
        (64, 32, 32),
        (64, 32, 32),
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
    ]
    assert small.conv1.kernel_size == (3, 3)


def test_feature_maps_are_those_that_torchvision_passes_on() -> None:
    ours, reference = pair("resnet34")
    seen: dict[str, Tensor] = {}
    for name in ("relu", "layer1", "layer2", "layer3", "layer4"):
        module = reference.get_submodule(name)
        module.register_forward_hook(lambda _m, _i, output, name=name: seen.update({name: output}))
    x = noise(2, 3, 64, 96)
    reference.eval()(x)
    maps = ours.eval().features(x)
    assert list(maps) == ["stem", "layer1", "layer2", "layer3", "layer4"]
    for (name, ours_map), reference_map in zip(maps.items(), seen.values()):
        assert relative(ours_map, reference_map) <= 1e-12, name
    assert [tuple(m.shape[2:]) for m in maps.values()] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_zero_init_starts_blocks_as_the_identity(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.create(name, in_channels=3, num_classes=2, zero_init_last=True).eval()
    x = torch.rand(1, model.layer1[1].conv1.in_channels, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.layer1[1](x), x)
    plain = models.create(name, in_channels=3, num_classes=2).eval()
    assert not torch.equal(plain.layer1[1](x), x)


def test_weights_start_as_he_et_al_propose() -> None:
    model = models.create("resnet50", in_channels=3, num_classes=2)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 1e5:
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert abs(module.weight.std().item() / (2 / fan_out) ** 0.5 - 1) < 0.02


def test_bytes_become_numbers() -> None:
    model = models.create("resnet18", in_channels=3, num_classes=2, stem="small").eval()
    x = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(x), model(x.float()))


def test_later_blocks_are_left_out_more_often() -> None:
    model = models.create("resnet18", in_channels=3, num_classes=2, stochastic_depth=0.8)
    rates = [m.skip.p for m in model.modules() if isinstance(m, BasicBlock)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])


def test_without_a_head_the_maps_stay() -> None:
    assert [n for n in ResNet(Bottleneck, (1, 1, 1, 1), 3, 0).state_dict() if n.startswith("fc")] == []
