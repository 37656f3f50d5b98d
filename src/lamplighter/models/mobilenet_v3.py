"""MobileNetV3, small and large: inverted residuals with squeeze-and-excitation and hard swish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData
from lamplighter.models.resnet import Stem
from lamplighter.nn.conv import conv_norm_act, divisible, initialise_convolutions
from lamplighter.nn.inverted_residual import InvertedResidualSE
from lamplighter.nn.staged import Staged, coarsest

_EPS, _MOMENTUM = 1e-3, 0.01


class Row(NamedTuple):
    """One line of the paper's tables 1 and 2.

    Attributes:
        kernel: side of the depthwise kernel.
        hidden: channels inside.
        out: channels of the output.
        squeeze: with squeeze-and-excitation.
        swish: hard swish, else ReLU.
        stride: of the depthwise kernel.
    """

    kernel: int
    hidden: int
    out: int
    squeeze: bool
    swish: bool
    stride: int


_SMALL = (
    Row(3, 16, 16, True, False, 2),
    Row(3, 72, 24, False, False, 2),
    Row(3, 88, 24, False, False, 1),
    Row(5, 96, 40, True, True, 2),
    Row(5, 240, 40, True, True, 1),
    Row(5, 240, 40, True, True, 1),
    Row(5, 120, 48, True, True, 1),
    Row(5, 144, 48, True, True, 1),
    Row(5, 288, 96, True, True, 2),
    Row(5, 576, 96, True, True, 1),
    Row(5, 576, 96, True, True, 1),
)
_LARGE = (
    Row(3, 16, 16, False, False, 1),
    Row(3, 64, 24, False, False, 2),
    Row(3, 72, 24, False, False, 1),
    Row(5, 72, 40, True, False, 2),
    Row(5, 120, 40, True, False, 1),
    Row(5, 120, 40, True, False, 1),
    Row(3, 240, 80, False, True, 2),
    Row(3, 200, 80, False, True, 1),
    Row(3, 184, 80, False, True, 1),
    Row(3, 184, 80, False, True, 1),
    Row(3, 480, 112, True, True, 1),
    Row(3, 672, 112, True, True, 1),
    Row(5, 672, 160, True, True, 2),
    Row(5, 960, 160, True, True, 1),
    Row(5, 960, 160, True, True, 1),
)


class MobileNetV3(nn.Module):
    """A 3x3 stem, `InvertedResidualSE` blocks, a 1x1 convolution, mean over all positions, two linear layers
    (Howard et al. 2019, "Searching for MobileNetV3").

    Normalisations have eps 1e-3 and momentum 0.01. Names of parameters and buffers are torchvision's.

    Args:
        rows: the blocks.
        hidden: units between the two linear layers.
        in_channels: colours of the image.
        num_classes: width of the output.
        width_mult: all channels are multiplied by this and rounded to a multiple of 8.
        stem: ``imagenet``: five halvings of the resolution; ``small``: without the first two.
        dropout: share of the head's inputs set to 0 in each training step.

    Shapes:
        (N, in_channels, H, W) -> (N, num_classes)
    """

    def __init__(
        self,
        rows: Sequence[Row],
        hidden: int,
        in_channels: int,
        num_classes: int,
        width_mult: float = 1.0,
        stem: Stem = "imagenet",
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        channels = divisible(16 * width_mult)
        strides = [2, *(row.stride for row in rows), 1]
        if stem == "small":
            for index in [index for index, stride in enumerate(strides) if stride > 1][:2]:
                strides[index] = 1
        layers: list[nn.Module] = [_unit(in_channels, channels, 3, strides[0])]
        for row, stride in zip(rows, strides[1:]):
            out = divisible(row.out * width_mult)
            activation = nn.Hardswish if row.swish else nn.ReLU
            inside = divisible(row.hidden * width_mult)
            layers.append(
                InvertedResidualSE(
                    channels, inside, out, row.kernel, stride, row.squeeze, activation, eps=_EPS, momentum=_MOMENTUM
                )
            )
            channels = out
        layers.append(_unit(channels, 6 * channels, 1, 1))
        self.features = Staged(layers, strides, "MobileNetV3")
        """``model.features(x)``: maps before each halving of the resolution, from fine to coarse, under torchvision's
        names."""
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * channels, divisible(hidden * width_mult)),
            nn.Hardswish(inplace=True),
            nn.Dropout(dropout, inplace=True),
            nn.Linear(divisible(hidden * width_mult), num_classes),
        )
        initialise_convolutions(self)
        for layer in self.classifier:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0, 0.01)
                nn.init.zeros_(layer.bias)

    @property
    def head(self) -> nn.Linear:
        """The last layer, under the name that every model of the zoo has it."""
        head = self.classifier[3]
        assert isinstance(head, nn.Linear)
        return head

    def forward_features(self, x: Tensor) -> Tensor:
        """Input of the head, (N, 1024) in the small network, (N, 1280) in the large one."""
        pooled: Tensor = self.avgpool(coarsest(self.features(x))).flatten(1)
        for layer in list(self.classifier)[:-1]:
            pooled = layer(pooled)
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.forward_features(x))
        return logits


def _unit(in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.Sequential:
    return conv_norm_act(
        in_channels, out_channels, kernel_size, stride, activation=nn.Hardswish, eps=_EPS, momentum=_MOMENTUM
    )


def mobilenet_v3_small(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    width_mult: Annotated[float, Field(gt=0)] = 1.0,
    stem: Stem = "imagenet",
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
) -> MobileNetV3:
    """MobileNetV3-Small: eleven blocks; 2.5 million parameters with 1,000 classes.

    Args:
        in_channels: colours of the image.
        num_classes: width of the output: classes, or targets of a regression.
        width_mult: all channels are multiplied by this and rounded to a multiple of 8.
        stem: ``imagenet``: five halvings of the resolution; ``small``: without the first two, for images up to some 64
            pixels.
        dropout: share of the head's inputs set to 0 in each training step.

    >>> sum(p.numel() for p in mobilenet_v3_small(in_channels=3, num_classes=1000).parameters())
    2542856
    """
    return MobileNetV3(_SMALL, 1024, in_channels, num_classes, width_mult, stem, dropout)


def mobilenet_v3_large(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    width_mult: Annotated[float, Field(gt=0)] = 1.0,
    stem: Stem = "imagenet",
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
) -> MobileNetV3:
    """MobileNetV3-Large: fifteen blocks; 5.5 million parameters with 1,000 classes.

    Args:
        in_channels: colours of the image.
        num_classes: width of the output: classes, or targets of a regression.
        width_mult: all channels are multiplied by this and rounded to a multiple of 8.
        stem: ``imagenet``: five halvings of the resolution; ``small``: without the first two, for images up to some 64
            pixels.
        dropout: share of the head's inputs set to 0 in each training step.

    >>> sum(p.numel() for p in mobilenet_v3_large(in_channels=3, num_classes=1000).parameters())
    5483032
    """
    return MobileNetV3(_LARGE, 1280, in_channels, num_classes, width_mult, stem, dropout)
