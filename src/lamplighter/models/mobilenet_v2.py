"""MobileNetV2: inverted residuals with linear bottlenecks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData
from lamplighter.models.resnet import Stem
from lamplighter.nn.conv import conv_norm_act, divisible, initialise_convolutions
from lamplighter.nn.inverted_residual import InvertedResidual
from lamplighter.nn.staged import Staged, coarsest

_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks, and stride of the first block: table 2 of the paper."""


class MobileNetV2(nn.Module):
    """A 3x3 stem, seventeen `InvertedResidual` blocks, a 1x1 convolution, mean over all positions, linear head
    (Sandler et al. 2018).

    3.5 million parameters with 1,000 classes. Names of parameters and buffers are torchvision's.

    Args:
        in_channels: colours of the image.
        num_classes: width of the output: classes, or targets of a regression.
        width_mult: all channels are multiplied by this and rounded to a multiple of 8; the last 1,280 never shrink.
        stem: ``imagenet``: five halvings of the resolution; ``small``: without the first two, for images up to some 64
            pixels.
        dropout: share of the head's inputs set to 0 in each training step.

    Shapes:
        (N, in_channels, H, W) -> (N, num_classes)

    >>> sum(p.numel() for p in MobileNetV2(in_channels=3, num_classes=1000).parameters())
    3504872
    """

    def __init__(
        self,
        in_channels: Annotated[int, FromData],
        num_classes: Annotated[int, FromData],
        width_mult: Annotated[float, Field(gt=0)] = 1.0,
        stem: Stem = "imagenet",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
    ) -> None:
        super().__init__()
        small = stem == "small"
        channels, last = divisible(32 * width_mult), divisible(1280 * max(1.0, width_mult))
        strides = [1 if small else 2]
        layers: list[nn.Module] = [conv_norm_act(in_channels, channels, 3, strides[0], activation=nn.ReLU6)]
        for stage, (expand, width, depth, first) in enumerate(_STAGES):
            out = divisible(width * width_mult)
            for index in range(depth):
                strides.append(first if index == 0 and not (small and stage == 1) else 1)
                layers.append(InvertedResidual(channels, out, strides[-1], expand))
                channels = out
        layers.append(conv_norm_act(channels, last, 1, activation=nn.ReLU6))
        self.features = Staged(layers, [*strides, 1], "MobileNetV2")
        """``model.features(x)``: maps before each halving of the resolution, from fine to coarse, under torchvision's
        names: ``features.1``, ``.3``, ``.6``, ``.13`` and ``.18`` with 1/2 to 1/32 of the resolution."""
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        initialise_convolutions(self)
        nn.init.normal_(self.head.weight, 0, 0.01)
        nn.init.zeros_(self.head.bias)

    @property
    def head(self) -> nn.Linear:
        """The last layer, under the name that every model of the zoo has it."""
        head = self.classifier[1]
        assert isinstance(head, nn.Linear)
        return head

    def forward_features(self, x: Tensor) -> Tensor:
        """Input of the head, (N, 1280)."""
        pooled: Tensor = self.classifier[0](self.avgpool(coarsest(self.features(x))).flatten(1))
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.forward_features(x))
        return logits
