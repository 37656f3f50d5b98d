"""Up to the size of a finer map: by a transposed convolution, or by interpolation and a 1x1 convolution."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

UpName = Literal["transposed", "bilinear"]


class UpConv(nn.Module):
    """A map to twice its size, cut to the size wanted, with other channels.

    ``transposed``: a 2x2 transposed convolution of stride 2; each position becomes a block of four, no two blocks
    overlap, so there is no checkerboard of sums. ``bilinear``: a 1x1 convolution, then bilinear interpolation; the two
    commute, and this order is four times cheaper.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        name: one of the two.

    Shapes:
        (N, in_channels, h, w) -> (N, out_channels, H, W) for any H <= 2 h, W <= 2 w
    """

    def __init__(self, in_channels: int, out_channels: int, name: UpName = "transposed") -> None:
        super().__init__()
        self.name = name
        self.conv: nn.ConvTranspose2d | nn.Conv2d = (
            nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
            if name == "transposed"
            else nn.Conv2d(in_channels, out_channels, 1)
        )

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        h: Tensor = self.conv(x)
        if self.name == "transposed":
            return h[:, :, : size[0], : size[1]]
        return F.interpolate(h, size=size, mode="bilinear", align_corners=False)
