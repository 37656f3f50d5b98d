"""Dilated causal convolution over time, and the residual block of temporal convolutional networks.

Legend: N rows, L positions, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CausalConv1d(nn.Conv1d):
    """y_t = b + sum_k W_k x_(t - d (K - 1 - k)): each output sees its own position and earlier ones only.

    The input is padded in front by d (K - 1), so the length stays (van den Oord et al. 2016, "WaveNet"). Not causal, it
    is padded on both sides, as far as possible by equal parts.

    Args:
        in_channels: C of the input.
        out_channels: C of the output.
        kernel_size: K.
        dilation: d, distance between the positions that a kernel sees.
        causal: see above.

    Shapes:
        (N, in_channels, L) -> (N, out_channels, L)

    >>> conv = CausalConv1d(1, 1, kernel_size=2, dilation=2)
    >>> _ = torch.nn.init.ones_(conv.weight), torch.nn.init.zeros_(conv.bias)
    >>> conv(torch.tensor([[[1.0, 2.0, 4.0, 8.0]]])).detach()
    tensor([[[ 1.,  2.,  5., 10.]]])
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1, causal: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, dilation=dilation)
        reach = dilation * (kernel_size - 1)
        self.sides = (reach, 0) if causal else (reach - reach // 2, reach // 2)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.pad(input, self.sides))


class TemporalBlock(nn.Module):
    """relu(x + relu(conv(relu(conv(x))))), both convolutions dilated alike (Bai et al. 2018, "An Empirical Evaluation

    of Generic Convolutional and Recurrent Networks for Sequence Modeling").

    Weights are drawn from N(0, 2 / fan_in) in place of the paper's weight normalisation. Padding is set to 0 before
    each convolution, as if the sequence ended there.

    Args:
        in_channels: C of the input; where it differs from ``channels`` a 1x1 convolution fits it to the sum.
        channels: C of the output.
        kernel_size: of both convolutions.
        dilation: of both convolutions.
        causal: whether outputs see earlier positions only.
        dropout: share of channels, whole over all positions, set to 0 after each convolution in training.

    Shapes:
        (N, in_channels, L), keep (N, 1, L) or None -> (N, channels, L); keep is 1 at real positions, 0 at padding
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int,
        dilation: int = 1,
        causal: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv1 = CausalConv1d(in_channels, channels, kernel_size, dilation, causal)
        self.conv2 = CausalConv1d(channels, channels, kernel_size, dilation, causal)
        self.downsample = nn.Conv1d(in_channels, channels, 1) if in_channels != channels else None
        self.dropout = nn.Dropout1d(dropout)
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        h = self.dropout(torch.relu(self.conv1(_kept(x, keep))))
        h = self.dropout(torch.relu(self.conv2(_kept(h, keep))))
        return torch.relu(h + (x if self.downsample is None else self.downsample(x)))


def _kept(x: Tensor, keep: Tensor | None) -> Tensor:
    return x if keep is None else x * keep
