"""Parity of the MobileNets with timm's (V1) and torchvision's (V2, V3)."""

from __future__ import annotations

from typing import Any

import timm
import torchvision
from parity import Case, noise
from torch import Tensor, nn

from lamplighter import models


def images() -> tuple[Tensor, ...]:
    return (noise(3, 3, 70, 65),)


def wrong_epsilon(model: Any) -> None:
    """V3's 1e-3 as it would be by default, in one layer; the others' 1e-5 a tenth higher."""
    norm = _norms(model)[5]
    norm.eps = 1e-5 if norm.eps == 1e-3 else 1.1e-5


def wrong_momentum(model: Any) -> None:
    _norms(model)[5].momentum = 0.11


def relu_for_relu6(model: Any) -> None:
    _replace_first(model, nn.ReLU6, nn.ReLU())


def no_activation_between(model: Any) -> None:
    """Depthwise and pointwise convolution as one linear map."""
    model.blocks[1][0].act1 = nn.Identity()


def norm_before_convolution(model: Any) -> None:
    """The order of V1's block as it is often misremembered: norm, act, then the convolution."""
    block = model.blocks[0][0]
    block.forward = lambda x: block.conv_pw(block.act1(block.bn1(block.conv_dw(x))))


def stride_in_the_pointwise_convolution(model: Any) -> None:
    block = model.blocks[1][0]
    block.conv_dw.stride, block.conv_pw.stride = (1, 1), (2, 2)


def activation_after_the_projection(model: Any) -> None:
    model.features[2].conv.append(nn.ReLU6())


def no_shortcut(model: Any) -> None:
    next(m for m in model.modules() if getattr(m, "residual", False)).residual = False


def sigmoid_for_hard_sigmoid(model: Any) -> None:
    _replace_first(model, nn.Hardsigmoid, nn.Sigmoid())


def silu_for_hard_swish(model: Any) -> None:
    _replace_first(model, nn.Hardswish, nn.SiLU())


def no_squeeze(model: Any) -> None:
    block = next(m for m in model.modules() if type(m).__name__ == "SqueezeExcitation")
    block.forward = lambda x: x


def _norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


def _replace_first(model: nn.Module, old: type[nn.Module], new: nn.Module) -> None:
    name = next(name for name, module in model.named_modules() if type(module) is old)
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, new)


def _ours(name: str, **options: Any) -> Any:
    return lambda: models.create(name, in_channels=3, num_classes=7, dropout=0.0, **options)


def _torchvision(name: str, **options: Any) -> Any:
    return lambda: getattr(torchvision.models, name)(num_classes=7, dropout=0.0, **options)


CASES = [
    Case(
        model="mobilenet_v1",
        reference="timm mobilenetv1_100",
        ours=_ours("mobilenet_v1"),
        theirs=lambda: timm.create_model("mobilenetv1_100", num_classes=7),
        inputs=images,
        mutations=(
            wrong_epsilon,
            wrong_momentum,
            relu_for_relu6,
            no_activation_between,
            norm_before_convolution,
            stride_in_the_pointwise_convolution,
        ),
    ),
    Case(
        model="mobilenet_v2",
        reference="torchvision.models.mobilenet_v2",
        ours=_ours("mobilenet_v2"),
        theirs=_torchvision("mobilenet_v2"),
        inputs=images,
    ),
    Case(
        model="mobilenet_v2",
        variant="width 0.35",
        reference="torchvision.models.mobilenet_v2",
        ours=_ours("mobilenet_v2", width_mult=0.35),
        theirs=_torchvision("mobilenet_v2", width_mult=0.35),
        inputs=images,
        mutations=(wrong_epsilon, wrong_momentum, relu_for_relu6, activation_after_the_projection, no_shortcut),
    ),
    Case(
        model="mobilenet_v3_small",
        reference="torchvision.models.mobilenet_v3_small",
        ours=_ours("mobilenet_v3_small"),
        theirs=_torchvision("mobilenet_v3_small"),
        inputs=images,
        mutations=(
            wrong_epsilon,
            wrong_momentum,
            no_shortcut,
            sigmoid_for_hard_sigmoid,
            silu_for_hard_swish,
            no_squeeze,
        ),
    ),
    Case(
        model="mobilenet_v3_large",
        reference="torchvision.models.mobilenet_v3_large",
        ours=_ours("mobilenet_v3_large", width_mult=1.4),
        theirs=_torchvision("mobilenet_v3_large", width_mult=1.4),
        variant="width 1.4",
        inputs=images,
        slow=True,
    ),
    Case(
        model="mobilenet_v3_large",
        reference="torchvision.models.mobilenet_v3_large",
        ours=_ours("mobilenet_v3_large"),
        theirs=_torchvision("mobilenet_v3_large"),
        inputs=images,
    ),
]
