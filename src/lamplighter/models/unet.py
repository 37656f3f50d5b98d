"""U-Net: down by pooling, up again, with every finer map handed across."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData
from lamplighter.nn.conv import initialise_convolutions
from lamplighter.nn.image_input import image_input
from lamplighter.nn.upsample import UpConv, UpName

NormName = Literal["none", "batch"]


class UNet(nn.Module):
    """Two 3x3 convolutions at each resolution, on the way down and on the way up (Ronneberger et al. 2015).

    The convolutions are padded, unlike the paper's, so that the answer has the size of the image. Pooling rounds up and
    the way up is cut to the map it meets, so any image of at least one pixel fits; where the sides are multiples of
    ``2 ** depth`` nothing is cut. Without norm, of grey images with one output, it has the classic's 31,030,593
    parameters.

    Args:
        in_channels: colours of the image.
        num_classes: classes of a pixel.
        width: channels at full resolution; each halving doubles them. The costs grow with its square.
        depth: halvings of the resolution.
        norm: after each 3x3 convolution: over the batch, or none, as in the paper.
        up: a 2x2 transposed convolution as in the paper, or bilinear interpolation.

    Shapes:
        (N, in_channels, H, W) -> logits (N, num_classes, H, W), any size

    Raises:
        LamplighterError: images of another number of channels.

    >>> sum(p.numel() for p in UNet(in_channels=1, num_classes=1, norm="none").parameters())
    31030593
    """

    def __init__(
        self,
        in_channels: Annotated[int, FromData],
        num_classes: Annotated[int, FromData],
        width: Annotated[int, Field(gt=0)] = 64,
        depth: Annotated[int, Field(ge=1, le=6)] = 4,
        norm: NormName = "batch",
        up: UpName = "transposed",
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.down = nn.ModuleList(
            _double_conv(before, channels, norm) for before, channels in zip([in_channels, *widths], widths)
        )
        self.up = nn.ModuleList(UpConv(2 * channels, channels, up) for channels in reversed(widths[:-1]))
        self.merge = nn.ModuleList(_double_conv(2 * channels, channels, norm) for channels in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, num_classes, 1)
        initialise_convolutions(self)

    @property
    def first(self) -> nn.Conv2d:
        """The convolution that meets the image."""
        return next(module for module in self.modules() if isinstance(module, nn.Conv2d))

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """Maps of the way down, from fine to coarse: ``down.0`` at full resolution to ``down.<depth>``."""
        h = image_input(x, self.first, "UNet")
        maps = {}
        for level, convolutions in enumerate(self.down):
            h = convolutions(self.pool(h) if level else h)
            maps[f"down.{level}"] = h
        return maps

    def decode(self, maps: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        """Logits (N, num_classes, H, W) from the maps of `features`.

        Args:
            maps: all of them.
            size: H and W of the image, which the finest map has already.
        """
        *finer, h = maps.values()
        for up, merge, across in zip(self.up, self.merge, reversed(finer)):
            h = merge(torch.cat([across, up(h, (across.shape[2], across.shape[3]))], dim=1))
        logits: Tensor = self.head(h)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.features(x), (x.shape[2], x.shape[3]))


def _double_conv(in_channels: int, out_channels: int, norm: NormName) -> nn.Sequential:
    """Twice: a 3x3 convolution, a norm if any, ReLU. A norm makes the convolution's bias idle."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers.append(nn.Conv2d(channels, out_channels, 3, padding=1, bias=norm == "none"))
        if norm == "batch":
            layers.append(nn.BatchNorm2d(out_channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
