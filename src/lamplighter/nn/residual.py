"""The two residual blocks of ResNets, under torchvision's names."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from lamplighter.nn.dropout import StochasticDepth


class BasicBlock(nn.Module):
    """relu(shortcut(x) + norm(conv3x3(relu(norm(conv3x3(x)))))) (He et al. 2016, "Deep Residual Learning").

    The sum lets the signal, and the gradient on its way back, pass a block untouched. Convolutions have no bias: the
    normalisation behind each would subtract it again.

    Args:
        in_channels: channels of the input.
        planes: channels inside, and of the output.
        stride: step of the first convolution; 2 halves the resolution.
        groups: must be 1; stands here so that both blocks are made alike.
        base_width: must be 64, likewise.
        dilation: distance between the taps of the second convolution.
        first_dilation: of the first convolution; None: the same.
        stochastic_depth: probability of leaving out all but the shortcut for an image in training.

    Shapes:
        (N, in_channels, H, W) -> (N, planes, ceil(H / stride), ceil(W / stride))
    """

    expansion: ClassVar[int] = 1

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int = 1,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        first_dilation: int | None = None,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        if groups != 1 or base_width != 64:
            raise ValueError("BasicBlock has neither groups nor another width; use Bottleneck")
        self.conv1 = conv3x3(in_channels, planes, stride, dilation=first_dilation or dilation)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = projection(in_channels, planes, stride)
        self.skip = StochasticDepth(stochastic_depth)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The normalisation before the sum."""
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.bn1(self.conv1(x)))
        h = self.skip(self.bn2(self.conv2(h)))
        h += x if self.downsample is None else self.downsample(x)
        activated: Tensor = self.relu(h)
        return activated


class Bottleneck(nn.Module):
    """A 1x1 convolution to fewer channels, a 3x3 among those, a 1x1 back to more; norm and relu as in `BasicBlock`.

    The costly 3x3 convolution works on a quarter of the channels. The stride is in the 3x3 convolution, as in
    torchvision ("ResNet v1.5"), not in the first 1x1 as in the paper, where it would drop three of four positions
    unseen. With groups it is the block of ResNeXt (Xie et al. 2017), with a larger base width that of Wide ResNet
    (Zagoruyko and Komodakis 2016).

    Args:
        in_channels: channels of the input.
        planes: a quarter of the channels of the output.
        stride: step of the 3x3 convolution.
        groups: of the 3x3 convolution.
        base_width: channels of the 3x3 convolution are ``planes * base_width / 64 * groups``.
        dilation: distance between the taps of the 3x3 convolution, unless ``first_dilation`` is given.
        first_dilation: takes its place in the first block of a stage, whose 3x3 convolution reads the stage before.
        stochastic_depth: probability of leaving out all but the shortcut for an image in training.

    Shapes:
        (N, in_channels, H, W) -> (N, 4 * planes, ceil(H / stride), ceil(W / stride))

    >>> block = Bottleneck(256, 64)
    >>> sum(p.numel() for p in block.parameters() if p.dim() == 4), 3 * 3 * 256 * 256  # beside one full convolution
    (69632, 589824)
    """

    expansion: ClassVar[int] = 4

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int = 1,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        first_dilation: int | None = None,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        width = planes * base_width // 64 * groups
        out_channels = planes * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride, groups, first_dilation or dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = projection(in_channels, out_channels, stride)
        self.skip = StochasticDepth(stochastic_depth)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The normalisation before the sum."""
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.bn1(self.conv1(x)))
        h = self.relu(self.bn2(self.conv2(h)))
        h = self.skip(self.bn3(self.conv3(h)))
        h += x if self.downsample is None else self.downsample(x)
        activated: Tensor = self.relu(h)
        return activated


def conv3x3(in_channels: int, out_channels: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A 3x3 convolution without bias whose padding keeps the size at stride 1."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, dilation, dilation, groups, bias=False)


def projection(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """What the shortcut needs where the block changes the shape: a 1x1 convolution and its normalisation."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )
