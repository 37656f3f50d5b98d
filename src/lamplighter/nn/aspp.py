"""Atrous spatial pyramid pooling: one map seen at several distances at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.nn.conv import conv_norm_act, same_conv


class ASPP(nn.Module):
    """A 1x1 convolution, 3x3 convolutions of several dilations and the mean of the map, side by side, then a 1x1
    convolution over all of them (Chen et al. 2017, "Rethinking Atrous Convolution").

    A branch whose rate is not below the size of the map sees its centre tap alone and is a second 1x1 convolution:
    choose rates for the maps you have. Names of the parts are torchvision's.

    Args:
        in_channels: channels of the input.
        rates: dilation of each 3x3 branch.
        out_channels: channels of every branch and of the output.
        dropout: share of the output set to 0 in each training step.

    Shapes:
        (N, in_channels, H, W) -> (N, out_channels, H, W)
    """

    def __init__(self, in_channels: int, rates: Sequence[int], out_channels: int = 256, dropout: float = 0.5) -> None:
        super().__init__()
        branches: list[nn.Module] = [conv_norm_act(in_channels, out_channels, 1)]
        branches += [conv_norm_act(in_channels, out_channels, 3, dilation=rate) for rate in rates]
        branches.append(ImagePooling(in_channels, out_channels))
        self.convs = nn.ModuleList(branches)
        self.project = conv_norm_act(len(branches) * out_channels, out_channels, 1)
        self.project.append(nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.project(torch.cat([branch(x) for branch in self.convs], dim=1))
        return mixed


class ImagePooling(nn.Sequential):
    """The mean over all positions through a 1x1 convolution, norm and ReLU, spread over the map again.

    After the mean there is one number for each image and channel. With a batch of one image, a normalisation over
    the batch would make 0 of every number, and torch refuses; here that batch is normalised with the running mean and
    variance, which stay as they are. From two images on it computes what torchvision does.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.

    Shapes:
        (N, in_channels, H, W) -> (N, out_channels, H, W), the same at every position
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        norm = nn.BatchNorm2d(out_channels)
        super().__init__(nn.AdaptiveAvgPool2d(1), same_conv(in_channels, out_channels, 1), norm, nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        pool, conv, norm, act = self
        h = conv(pool(x))
        if self.training and x.shape[0] == 1 and isinstance(norm, nn.BatchNorm2d):
            h = F.batch_norm(h, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, eps=norm.eps)
        else:
            h = norm(h)
        return act(h).expand(-1, -1, *x.shape[2:])
