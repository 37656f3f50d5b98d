"""MobileNet: depthwise-separable convolutions in a row, and the same network of full convolutions beside it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData
from lamplighter.models.resnet import Stem
from lamplighter.nn.conv import ConvNormAct, divisible, initialise_convolutions, same_conv
from lamplighter.nn.image_input import image_input
from lamplighter.nn.separable import DepthwiseSeparableConv
from lamplighter.nn.staged import coarsest

_STAGES = ((64,), (128, 128), (256, 256), (512,) * 6, (1024, 1024))
"""Channels of each block; the first block of every stage but the first halves the resolution."""


class MobileNetV1(nn.Module):
    """A 3x3 stem, thirteen depthwise-separable blocks, mean over all positions, linear head (Howard et al. 2017).

    4.2 million parameters with 1,000 classes; of the paper's 569 million multiply-adds at 224 pixels 95% are in the
    1x1 convolutions. Names of parameters and buffers are those of timm's ``mobilenetv1_100``.

    Args:
        in_channels: colours of the image.
        num_classes: width of the output: classes, or targets of a regression.
        width_mult: all channels are multiplied by this and rounded to a multiple of 8.
        stem: ``imagenet``: five halvings of the resolution; ``small``: without the first two, for images up to some 64
            pixels.
        dropout: share of the head's inputs set to 0 in each training step.
        separable: ``false`` gives the twin with a full 3x3 convolution in place of each pair, to compare with: 29.3
            million parameters.

    Shapes:
        (N, in_channels, H, W) -> (N, num_classes)

    >>> sum(p.numel() for p in MobileNetV1(in_channels=3, num_classes=1000).parameters())
    4231976
    """

    def __init__(
        self,
        in_channels: Annotated[int, FromData],
        num_classes: Annotated[int, FromData],
        width_mult: Annotated[float, Field(gt=0)] = 1.0,
        stem: Stem = "imagenet",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        separable: bool = True,
    ) -> None:
        super().__init__()
        channels = divisible(32 * width_mult)
        self.conv_stem = same_conv(in_channels, channels, 3, 1 if stem == "small" else 2)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act = nn.ReLU6()
        stages = []
        for index, widths in enumerate(_STAGES):
            blocks: list[nn.Module] = []
            for position, width in enumerate(widths):
                halves = position == 0 and index > (1 if stem == "small" else 0)
                out = divisible(width * width_mult)
                blocks.append(_block(channels, out, 2 if halves else 1, separable))
                channels = out
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)
        initialise_convolutions(self)

    @property
    def head(self) -> nn.Linear:
        """The last layer, under the name that every model of the zoo has it."""
        return self.classifier

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """Feature maps from fine to coarse: ``blocks.0`` to ``blocks.4`` with 64, 128, 256, 512 and 1,024 channels and
        1/2 to 1/32 of the resolution; with the small stem 1, 1, 1/2, 1/4 and 1/8.
        """
        h = self.act(self.bn1(self.conv_stem(image_input(x, self.conv_stem, "MobileNetV1"))))
        maps = {}
        for index, stage in enumerate(self.blocks):
            h = stage(h)
            maps[f"blocks.{index}"] = h
        return maps

    def forward_features(self, x: Tensor) -> Tensor:
        """Input of the head, (N, 1024 * width_mult)."""
        pooled: Tensor = self.dropout(self.avgpool(coarsest(self.features(x))).flatten(1))
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.forward_features(x))
        return logits


def _block(in_channels: int, out_channels: int, stride: int, separable: bool) -> nn.Module:
    if separable:
        return DepthwiseSeparableConv(in_channels, out_channels, stride=stride)
    return ConvNormAct(in_channels, out_channels, stride=stride)
