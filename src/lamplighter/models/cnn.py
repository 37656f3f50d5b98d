"""A small residual convolutional network."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData
from lamplighter.nn.conv import ConvNormAct


class CNN(nn.Module):
    """Batch-normed convolutions with residual connections, for images from 8 to some 224 pixels.

    A 3x3 stem at full resolution; then stages, each of which halves the resolution, doubles the channels, and adds a
    residual convolution h <- h + f(h) (He et al. 2016, "Deep Residual Learning"); then the mean over all positions
    and a linear head. Since positions are averaged, any image size fits.

    Args:
        in_channels: colours of the image.
        num_classes: width of the output: classes, or targets of a regression.
        width: channels of the stem. At 32 with two stages the network has 279 thousand parameters.
        stages: halvings of the resolution. Two suit images up to 32 pixels; take one more for each doubling.
        dropout: share of the head's inputs set to 0 in each training step.

    Shapes:
        (N, in_channels, H, W) -> (N, num_classes)

    >>> sum(p.numel() for p in CNN(in_channels=1, num_classes=10).parameters())
    278890
    """

    def __init__(
        self,
        in_channels: Annotated[int, FromData],
        num_classes: Annotated[int, FromData],
        width: Annotated[int, Field(gt=0)] = 32,
        stages: Annotated[int, Field(ge=1, le=6)] = 2,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        self.stem = ConvNormAct(in_channels, width)
        self.stages = nn.Sequential(*(Stage(width * 2**i, width * 2 ** (i + 1)) for i in range(stages)))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width * 2**stages, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Input of the head, (N, width * 2 ** stages)."""
        x = x.to(self.head.weight.dtype)
        features: Tensor = self.dropout(self.pool(self.stages(self.stem(x))).flatten(1))
        return features

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.forward_features(x))
        return logits


class Stage(nn.Module):
    """Halve the resolution, change the channels, refine: h = down(x); h + refine(h).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.

    Shapes:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / 2), ceil(W / 2))
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.down = ConvNormAct(in_channels, out_channels, stride=2)
        self.refine = ConvNormAct(out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.down(x)
        refined: Tensor = h + self.refine(h)
        return refined
