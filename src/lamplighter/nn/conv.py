"""Convolution, batch normalisation and activation: as one layer, and as a sequence under torchvision's names."""

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
        groups: the channels are cut into this many groups, and each convolved by itself; ``in_channels`` of them make
            a depthwise convolution.
        dilation: distance between the taps of the kernel (Yu and Koltun 2016); it then spans
            ``dilation * (kernel_size - 1) + 1`` positions.
        eps: added to the variance before its root is taken.
        momentum: share of a batch in the running mean and variance.

    Raises:
        ValueError: an even kernel, or channels that the groups do not divide.

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
        groups: int = 1,
        dilation: int = 1,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.conv = same_conv(in_channels, out_channels, kernel_size, stride, groups, dilation)
        self.norm = nn.BatchNorm2d(out_channels, eps, momentum)
        self.act = make_activation(activation)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.act(self.norm(self.conv(x)))
        return activated


def conv_norm_act(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 3,
    stride: int = 1,
    groups: int = 1,
    dilation: int = 1,
    activation: type[nn.Module] | None = nn.ReLU,
    eps: float = 1e-5,
    momentum: float = 0.1,
) -> nn.Sequential:
    """The same unit as a sequence whose parts are numbered, as torchvision's checkpoints name them: 0 the convolution,
    1 the normalisation, 2 the activation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd side of the square kernel.
        stride: step of the kernel.
        groups: see `ConvNormAct`.
        dilation: see `ConvNormAct`.
        activation: class of the activation; None for none, as at the end of a linear bottleneck.
        eps: of the normalisation.
        momentum: of the normalisation.

    >>> [type(part).__name__ for part in conv_norm_act(3, 8, activation=nn.ReLU6)]
    ['Conv2d', 'BatchNorm2d', 'ReLU6']
    """
    parts: list[nn.Module] = [
        same_conv(in_channels, out_channels, kernel_size, stride, groups, dilation),
        nn.BatchNorm2d(out_channels, eps, momentum),
    ]
    if activation is not None:
        parts.append(activation(inplace=True))
    return nn.Sequential(*parts)


def same_conv(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1, dilation: int = 1
) -> nn.Conv2d:
    """A convolution without bias whose padding keeps the size at stride 1.

    Raises:
        ValueError: an even kernel, or channels that the groups do not divide.
    """
    if kernel_size % 2 == 0:
        raise ValueError(f"convolution: kernel_size is {kernel_size}; only an odd kernel has a centre to keep the size")
    if in_channels % groups or out_channels % groups:
        raise ValueError(f"convolution: groups={groups} does not divide {in_channels} channels in, {out_channels} out")
    padding = dilation * (kernel_size // 2)
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=False)


def initialise_convolutions(model: nn.Module) -> None:
    """Every convolution from N(0, 2 / fan_out), its bias 0.

    An input of a convolution with groups meets the outputs of its group alone, so that fan_out is ``kernel area *
    out_channels / groups``. (torch's own ``kaiming_normal_`` leaves out the groups: a depthwise layer of 512 channels
    then lets 1/16 of the signal pass, and thirteen in a row nothing.)
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0, (2 / fan_out) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def divisible(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of ``divisor``, but never less than nine tenths of ``channels``: what a width multiplier
    makes of a number of channels in the MobileNets.

    >>> divisible(32 * 0.35), divisible(24 * 0.35), divisible(16 * 0.1)
    (16, 8, 8)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
