"""Convolution, batch normalisation and activation as one layer."""

from __future__ import annotations

from torch import Tensor, nn

from lamplighter.nn.activation import ActivationName
from lamplighter.nn.activation import activation as make_activation


class ConvNormAct(nn.Module):
    """act(BatchNorm(conv(x))), the unit most convolutional networks are made of.

    The convolution has no bias: the normalisation would subtract it again. Padding keeps the size at stride 1; at
    stride 2 it becomes ``ceil(size / 2)``. Weights are drawn from N(0, 2 / fan_out), as He et al. 2015 ("Delving Deep
    into Rectifiers") propose, so that the variance of the signal survives many layers.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd side of the square kernel.
        stride: step of the kernel.
        activation: function after the normalisation.

    Shapes:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))

    >>> import torch
    >>> ConvNormAct(3, 8, stride=2)(torch.zeros(2, 3, 9, 9)).shape
    torch.Size([2, 8, 5, 5])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        activation: ActivationName = "relu",
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = make_activation(activation)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.act(self.norm(self.conv(x)))
        return activated
