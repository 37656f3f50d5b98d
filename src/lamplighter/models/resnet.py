"""ResNet, ResNeXt and Wide ResNet: deep convolutional networks of residual blocks."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData
from lamplighter.models.weights.layouts import Layout
from lamplighter.models.weights.resnet_names import HUGGING_FACE
from lamplighter.nn.dropout import stochastic_depth_rates
from lamplighter.nn.image_input import image_input
from lamplighter.nn.residual import BasicBlock, Bottleneck

Stem = Literal["imagenet", "small"]
OutputStride = Literal[8, 16, 32]
Share = Annotated[float, Field(ge=0, lt=1)]


class ResNet(nn.Module):
    """Stem, four stages of residual blocks, mean over all positions, linear head (He et al. 2016).

    Each stage but the first halves the resolution and doubles the channels. Weights of convolutions are drawn from
    N(0, 2 / fan_out), norms start as the identity. Names of parameters and buffers are torchvision's, so its
    checkpoints load; so do timm's of the same names, and Hugging Face's: `lamplighter.models.weights.resnet_names`.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        depths: blocks of each stage.
        in_channels: colours of the image.
        num_classes: width of the output; 0 leaves the head out, for a network that goes on from the feature maps.
        groups: of the 3x3 convolutions (ResNeXt).
        width_per_group: 64, or more for wider blocks.
        stem: ``imagenet``: a 7x7 convolution of stride 2 and a max-pool, a sixteenth of the positions are left;
            ``small``: a 3x3 convolution of stride 1, for images up to some 64 pixels.
        zero_init_last: start with the last normalisation of each block at 0, so that every block is the identity at
            first (Goyal et al. 2017); large batches train better.
        output_stride: 32, or less for dense prediction: the last stage (16), or the last two (8), keep the resolution
            and reach as far by dilation (Chen et al. 2017). The same weights then give the same numbers at every
            second position, and the positions between them.
        stochastic_depth: probability of leaving out the last block in a training step; earlier blocks' is smaller
            (Huang et al. 2016).

    Shapes:
        (N, in_channels, H, W) -> (N, num_classes)

    Raises:
        LamplighterError: images of another number of channels.
    """

    layouts: ClassVar[tuple[Layout, ...]] = (HUGGING_FACE,)
    """Other names under which checkpoints hold these tensors."""

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, int, int, int],
        in_channels: int,
        num_classes: int,
        groups: int = 1,
        width_per_group: int = 64,
        stem: Stem = "imagenet",
        zero_init_last: bool = False,
        output_stride: OutputStride = 32,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        small = stem == "small"
        self.conv1 = nn.Conv2d(in_channels, 64, 3 if small else 7, 1 if small else 2, 1 if small else 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        self.channels = 64
        self.dilation = 1
        self.skips = stochastic_depth_rates(stochastic_depth, sum(depths))
        self.layer1 = self._stage(block, 64, depths[0], 1, groups, width_per_group)
        self.layer2 = self._stage(block, 128, depths[1], 2, groups, width_per_group)
        self.layer3 = self._stage(block, 256, depths[2], 2, groups, width_per_group, dilate=output_stride < 16)
        self.layer4 = self._stage(block, 512, depths[3], 2, groups, width_per_group, dilate=output_stride < 32)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(self.channels, num_classes) if num_classes else nn.Identity()
        self._initialise(zero_init_last)

    @property
    def head(self) -> nn.Module:
        """The last layer, under the name that every model of the zoo has it."""
        return self.fc

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """Feature maps from fine to coarse, for decoders and detectors.

        Returns:
            ``stem`` (64 channels, before the max-pool) and ``layer1`` to ``layer4``, with 1/2, 1/4, 1/8, 1/16 and
            1/32 of the resolution; with the small stem 1, 1, 1/2, 1/4 and 1/8.
        """
        h = self.relu(self.bn1(self.conv1(image_input(x, self.conv1, "ResNet"))))
        maps = {"stem": h}
        maps["layer1"] = h = self.layer1(self.maxpool(h))
        maps["layer2"] = h = self.layer2(h)
        maps["layer3"] = h = self.layer3(h)
        maps["layer4"] = self.layer4(h)
        return maps

    def forward_features(self, x: Tensor) -> Tensor:
        """Input of the head, (N, 512) for basic blocks, (N, 2048) for bottlenecks."""
        pooled: Tensor = self.avgpool(self.features(x)["layer4"]).flatten(1)
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.forward_features(x))
        return logits

    def _stage(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        planes: int,
        depth: int,
        stride: int,
        groups: int,
        width: int,
        dilate: bool = False,
    ) -> nn.Sequential:
        """``depth`` blocks, the first of which changes resolution and channels; with ``dilate`` the channels alone."""
        before = self.dilation
        if dilate:
            self.dilation, stride = self.dilation * stride, 1
        blocks: list[nn.Module] = []
        for index in range(depth):
            first = index == 0
            blocks.append(
                block(
                    self.channels,
                    planes,
                    stride if first else 1,
                    groups,
                    width,
                    self.dilation,
                    before if first else None,
                    self.skips.pop(0),
                )
            )
            self.channels = planes * block.expansion
        return nn.Sequential(*blocks)

    def _initialise(self, zero_init_last: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, BasicBlock | Bottleneck) and zero_init_last:
                nn.init.zeros_(module.last_norm.weight)


def resnet18(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    stem: Stem = "imagenet",
    zero_init_last: bool = False,
    stochastic_depth: Share = 0.0,
) -> ResNet:
    """ResNet-18: 2, 2, 2, 2 basic blocks; 11.7 million parameters with 1,000 classes.

    Args:
        in_channels: colours of the image.
        num_classes: width of the output: classes, or targets of a regression.
        stem: ``imagenet`` (7x7 convolution of stride 2, max-pool) or ``small`` (3x3, for images up to 64 pixels).
        zero_init_last: start with every block as the identity.
        stochastic_depth: probability of leaving out the last block in a training step; earlier blocks' is smaller.

    >>> sum(p.numel() for p in resnet18(in_channels=3, num_classes=1000).parameters())
    11689512
    """
    return ResNet(
        BasicBlock,
        (2, 2, 2, 2),
        in_channels,
        num_classes,
        1,
        64,
        stem,
        zero_init_last,
        stochastic_depth=stochastic_depth,
    )


def resnet34(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    stem: Stem = "imagenet",
    zero_init_last: bool = False,
    stochastic_depth: Share = 0.0,
) -> ResNet:
    """ResNet-34: 3, 4, 6, 3 basic blocks; 21.8 million parameters with 1,000 classes.

    Args:
        in_channels: colours of the image.
        num_classes: width of the output: classes, or targets of a regression.
        stem: ``imagenet`` (7x7 convolution of stride 2, max-pool) or ``small`` (3x3, for images up to 64 pixels).
        zero_init_last: start with every block as the identity.
        stochastic_depth: probability of leaving out the last block in a training step; earlier blocks' is smaller.
    """
    return ResNet(
        BasicBlock,
        (3, 4, 6, 3),
        in_channels,
        num_classes,
        1,
        64,
        stem,
        zero_init_last,
        stochastic_depth=stochastic_depth,
    )


def resnet50(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    stem: Stem = "imagenet",
    zero_init_last: bool = False,
    stochastic_depth: Share = 0.0,
) -> ResNet:
    """ResNet-50: 3, 4, 6, 3 bottlenecks; 25.6 million parameters with 1,000 classes.

    Args:
        in_channels: colours of the image.
        num_classes: width of the output: classes, or targets of a regression.
        stem: ``imagenet`` (7x7 convolution of stride 2, max-pool) or ``small`` (3x3, for images up to 64 pixels).
        zero_init_last: start with every block as the identity.
        stochastic_depth: probability of leaving out the last block in a training step; earlier blocks' is smaller.
    """
    return ResNet(
        Bottleneck,
        (3, 4, 6, 3),
        in_channels,
        num_classes,
        1,
        64,
        stem,
        zero_init_last,
        stochastic_depth=stochastic_depth,
    )


def resnet101(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    stem: Stem = "imagenet",
    zero_init_last: bool = False,
    stochastic_depth: Share = 0.0,
) -> ResNet:
    """ResNet-101: 3, 4, 23, 3 bottlenecks; 44.5 million parameters with 1,000 classes.

    Args:
        in_channels: colours of the image.
        num_classes: width of the output: classes, or targets of a regression.
        stem: ``imagenet`` (7x7 convolution of stride 2, max-pool) or ``small`` (3x3, for images up to 64 pixels).
        zero_init_last: start with every block as the identity.
        stochastic_depth: probability of leaving out the last block in a training step; earlier blocks' is smaller.
    """
    return ResNet(
        Bottleneck,
        (3, 4, 23, 3),
        in_channels,
        num_classes,
        1,
        64,
        stem,
        zero_init_last,
        stochastic_depth=stochastic_depth,
    )


def resnext50_32x4d(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    stem: Stem = "imagenet",
    zero_init_last: bool = False,
    stochastic_depth: Share = 0.0,
) -> ResNet:
    """ResNeXt-50: ResNet-50 with 32 groups of 4 channels in its 3x3 convolutions (Xie et al. 2017); 25.0 million
    parameters.

    Args:
        in_channels: colours of the image.
        num_classes: width of the output: classes, or targets of a regression.
        stem: ``imagenet`` (7x7 convolution of stride 2, max-pool) or ``small`` (3x3, for images up to 64 pixels).
        zero_init_last: start with every block as the identity.
        stochastic_depth: probability of leaving out the last block in a training step; earlier blocks' is smaller.
    """
    return ResNet(
        Bottleneck,
        (3, 4, 6, 3),
        in_channels,
        num_classes,
        32,
        4,
        stem,
        zero_init_last,
        stochastic_depth=stochastic_depth,
    )


def wide_resnet50_2(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    stem: Stem = "imagenet",
    zero_init_last: bool = False,
    stochastic_depth: Share = 0.0,
) -> ResNet:
    """Wide ResNet-50-2: ResNet-50 with twice the channels in its 3x3 convolutions (Zagoruyko and Komodakis 2016);
    68.9 million parameters.

    Args:
        in_channels: colours of the image.
        num_classes: width of the output: classes, or targets of a regression.
        stem: ``imagenet`` (7x7 convolution of stride 2, max-pool) or ``small`` (3x3, for images up to 64 pixels).
        zero_init_last: start with every block as the identity.
        stochastic_depth: probability of leaving out the last block in a training step; earlier blocks' is smaller.
    """
    return ResNet(
        Bottleneck,
        (3, 4, 6, 3),
        in_channels,
        num_classes,
        1,
        128,
        stem,
        zero_init_last,
        stochastic_depth=stochastic_depth,
    )
