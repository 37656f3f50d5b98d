"""A small residual convolutional network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData
from lamplighter.nn.conv import ConvNormAct
from lamplighter.nn.dropout import DropBlock2d, StochasticDepth, stochastic_depth_rates
from lamplighter.nn.image_input import image_input
from lamplighter.nn.init import HiddenInit, InitPolicy
from lamplighter.nn.pooling import BlurPool2d, GlobalPool, GlobalPoolName
from lamplighter.nn.staged import coarsest

Downsample = Literal["stride", "max", "average", "blur"]


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
        drop_block: share of each stage's map that is set to 0 in square blocks in each training step.
        block_size: side of these blocks, in positions of the map.
        stochastic_depth: probability of leaving out the last stage's residual convolution in a training step; earlier
            stages' are left out less often.
        init: how the weights of the convolutions start, see `lamplighter.nn.init.draw`; None: from N(0, 2 / fan_out).
        downsample: how a stage halves the resolution: by a convolution of stride 2, or by a convolution and a 2x2
            ``max`` or ``average`` pooling or a ``blur`` behind it, at four times the cost of that convolution.
        pool: how all positions become one vector: their ``mean``, ``max``, generalised mean (``gem``) or ``attention``,
            see `lamplighter.nn.pooling`.

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
        drop_block: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        block_size: Annotated[int, Field(gt=0)] = 3,
        stochastic_depth: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        init: HiddenInit | None = None,
        downsample: Downsample = "stride",
        pool: GlobalPoolName = "mean",
    ) -> None:
        super().__init__()
        rates = stochastic_depth_rates(stochastic_depth, stages)
        self.stem = ConvNormAct(in_channels, width)
        self.stages = nn.Sequential(
            *(
                Stage(width * 2**i, width * 2 ** (i + 1), rates[i], drop_block, block_size, downsample)
                for i in range(stages)
            )
        )
        self.pool = nn.AdaptiveAvgPool2d(1) if pool == "mean" else GlobalPool(pool, width * 2**stages)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width * 2**stages, num_classes)
        if init is not None:
            InitPolicy(conv=init).apply(self)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """Feature maps from fine to coarse: ``stem`` at full resolution, ``stages.0`` at half of it, and so on."""
        h = self.stem(image_input(x, self.stem.conv, "CNN"))
        maps = {"stem": h}
        for index, stage in enumerate(self.stages):
            h = stage(h)
            maps[f"stages.{index}"] = h
        return maps

    def forward_features(self, x: Tensor) -> Tensor:
        """Input of the head, (N, width * 2 ** stages)."""
        features: Tensor = self.dropout(self.pool(coarsest(self.features(x))).flatten(1))
        return features

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.forward_features(x))
        return logits


class Stage(nn.Module):
    """Halve the resolution, change the channels, refine: h = down(x); h + refine(h).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stochastic_depth: probability of leaving out ``refine`` for a row in training.
        drop_block: share of the output set to 0 in blocks in training.
        block_size: their side.
        downsample: how the resolution is halved.

    Shapes:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / 2), ceil(W / 2))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stochastic_depth: float = 0.0,
        drop_block: float = 0.0,
        block_size: int = 3,
        downsample: Downsample = "stride",
    ) -> None:
        super().__init__()
        self.down = _halving(in_channels, out_channels, downsample)
        self.refine = ConvNormAct(out_channels, out_channels)
        self.skip = StochasticDepth(stochastic_depth) if stochastic_depth > 0 else nn.Identity()
        self.drop = DropBlock2d(drop_block, block_size) if drop_block > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.down(x)
        refined: Tensor = self.drop(h + self.skip(self.refine(h)))
        return refined


def _halving(in_channels: int, out_channels: int, downsample: Downsample) -> nn.Module:
    if downsample == "stride":
        return ConvNormAct(in_channels, out_channels, stride=2)
    pools = {
        "max": nn.MaxPool2d(2, ceil_mode=True),
        "average": nn.AvgPool2d(2, ceil_mode=True),
        "blur": BlurPool2d(),
    }
    return nn.Sequential(ConvNormAct(in_channels, out_channels), pools[downsample])
