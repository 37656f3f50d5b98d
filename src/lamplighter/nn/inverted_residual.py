"""Inverted residual blocks of MobileNetV2 and V3, under torchvision's names."""

from __future__ import annotations

from torch import Tensor, nn

from lamplighter.nn.conv import conv_norm_act, divisible, same_conv
from lamplighter.nn.squeeze_excite import SqueezeExcitation


class InvertedResidual(nn.Module):
    """x + project(depthwise(expand(x))): wide inside, narrow between the blocks (Sandler et al. 2018, "MobileNetV2").

    A 1x1 convolution to ``expand_ratio`` times the channels, a 3x3 depthwise one among those, a 1x1 back to few. The
    last has no activation ("linear bottleneck"): on few channels a ReLU would throw away what they carry. The sum
    is there where input and output have the same shape.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: 1, or 2 to halve the resolution.
        expand_ratio: channels inside for each channel of the input; 1 leaves the first convolution out.

    Shapes:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expand_ratio: int) -> None:
        super().__init__()
        hidden = in_channels * expand_ratio
        self.residual = stride == 1 and in_channels == out_channels
        layers: list[nn.Module] = []
        if expand_ratio != 1:
            layers.append(conv_norm_act(in_channels, hidden, 1, activation=nn.ReLU6))
        layers.append(conv_norm_act(hidden, hidden, 3, stride, groups=hidden, activation=nn.ReLU6))
        layers += [same_conv(hidden, out_channels, 1), nn.BatchNorm2d(out_channels)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.conv(x)
        return x + h if self.residual else h


class InvertedResidualSE(nn.Module):
    """The inverted residual of MobileNetV3 (Howard et al. 2019): any kernel, squeeze-and-excitation before the
    projection, ReLU or hard swish.

    Args:
        in_channels: channels of the input.
        hidden: channels inside; as many as the input leave the first convolution out.
        out_channels: channels of the output.
        kernel_size: odd side of the depthwise kernel.
        stride: 1, or 2 to halve the resolution.
        squeeze: whether the channels are weighted by `SqueezeExcitation` with a quarter of the channels inside.
        activation: class of the activations.
        eps: of the normalisations.
        momentum: of the normalisations.

    Shapes:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        squeeze: bool = True,
        activation: type[nn.Module] = nn.Hardswish,
        eps: float = 1e-3,
        momentum: float = 0.01,
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and in_channels == out_channels
        layers: list[nn.Module] = []
        if hidden != in_channels:
            layers.append(conv_norm_act(in_channels, hidden, 1, activation=activation, eps=eps, momentum=momentum))
        layers.append(
            conv_norm_act(
                hidden, hidden, kernel_size, stride, hidden, activation=activation, eps=eps, momentum=momentum
            )
        )
        if squeeze:
            layers.append(SqueezeExcitation(hidden, divisible(hidden // 4), gate=nn.Hardsigmoid))
        layers.append(conv_norm_act(hidden, out_channels, 1, activation=None, eps=eps, momentum=momentum))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.block(x)
        return x + h if self.residual else h
