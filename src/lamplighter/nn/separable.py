"""Depthwise-separable convolution: one kernel for each channel, then a 1x1 convolution that mixes the channels."""

from __future__ import annotations

from torch import Tensor, nn

from lamplighter.nn.conv import same_conv


class DepthwiseSeparableConv(nn.Module):
    """act(norm(pointwise(act(norm(depthwise(x)))))) (Howard et al. 2017, "MobileNets").

    A full k x k convolution has ``k^2 * in * out`` weights, this one ``k^2 * in + in * out``: for 3x3 that is 8 to 9
    times fewer from some 72 output channels on, and less gained below. Without the norm and activation between the
    two, the pair would be a single linear map. Names of the parts are timm's.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd side of the depthwise kernel.
        stride: step of the depthwise kernel.
        dilation: distance between its taps.
        activation: class of both activations.

    Shapes:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))

    >>> block = DepthwiseSeparableConv(32, 64)
    >>> sum(p.numel() for p in block.parameters() if p.dim() == 4), 3 * 3 * 32 * 64  # beside a full convolution
    (2336, 18432)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        activation: type[nn.Module] = nn.ReLU6,
    ) -> None:
        super().__init__()
        self.conv_dw = same_conv(in_channels, in_channels, kernel_size, stride, in_channels, dilation)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.act1 = activation()
        self.conv_pw = same_conv(in_channels, out_channels, 1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.act2 = activation()

    def forward(self, x: Tensor) -> Tensor:
        h = self.act1(self.bn1(self.conv_dw(x)))
        mixed: Tensor = self.act2(self.bn2(self.conv_pw(h)))
        return mixed
