"""U-Net with a ResNet on the way down, whose published weights can be loaded."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.core.registry import FromData
from lamplighter.models.resnet import ResNet, Stem
from lamplighter.models.weights.encoder_names import encoder_alone
from lamplighter.models.weights.layouts import Layout
from lamplighter.nn.conv import conv_norm_act, initialise_convolutions
from lamplighter.nn.residual import BasicBlock, Bottleneck

Interpolation = Literal["nearest", "bilinear"]
Width = Annotated[int, Field(gt=0)]
Widths = tuple[Width, Width, Width, Width, Width]
_WIDTHS = (256, 128, 64, 32, 16)


class UNetResNet(nn.Module):
    """A ResNet's maps from coarse to fine, each step interpolated to the next map, joined with it, and convolved twice.

    Names of parameters and buffers are those of ``segmentation_models_pytorch.Unet``; a ResNet's own file loads into
    the encoder.

    Args:
        encoder: without a head.
        num_classes: classes of a pixel.
        decoder_channels: channels of each step, from coarse to fine.
        interpolation: ``nearest`` or ``bilinear``.

    Shapes:
        (N, in_channels, H, W) -> logits (N, num_classes, H, W), any size
    """

    layouts: ClassVar[tuple[Layout, ...]] = (encoder_alone("encoder"),)
    """Other names under which checkpoints hold these tensors."""

    def __init__(
        self,
        encoder: ResNet,
        num_classes: int,
        decoder_channels: Widths = _WIDTHS,
        interpolation: Interpolation = "nearest",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        top = encoder.channels
        across = (top // 2, top // 4, top // 8, 64, 0)
        before = (top, *decoder_channels[:-1])
        self.decoder = nn.Module()
        self.decoder.blocks = nn.ModuleList(
            DecoderBlock(*channels, interpolation) for channels in zip(before, across, decoder_channels)
        )
        self.segmentation_head = nn.Sequential(nn.Conv2d(decoder_channels[-1], num_classes, 3, padding=1))
        initialise_convolutions(self.decoder)

    @property
    def head(self) -> nn.Module:
        """The last layer, under the name that every model of the zoo has it."""
        return self.segmentation_head[0]

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """The encoder's maps from fine to coarse: ``stem``, ``layer1`` ... ``layer4``."""
        return self.encoder.features(x)

    def decode(self, maps: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        """Logits (N, num_classes, H, W) from the maps of `features`.

        Args:
            maps: all of them.
            size: H and W of the image.
        """
        h, *finer = reversed(maps.values())
        for block, across in zip(self.decoder.blocks, [*finer, None]):  # type: ignore[arg-type]
            h = block(h, size if across is None else (across.shape[2], across.shape[3]), across)
        logits: Tensor = self.segmentation_head(h)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.features(x), (x.shape[2], x.shape[3]))


class DecoderBlock(nn.Module):
    """conv(conv([interpolate(x), across])), each with norm and ReLU.

    Args:
        in_channels: channels of the coarse map.
        across_channels: channels of the finer map from the encoder; 0: there is none.
        out_channels: channels of the output.
        interpolation: ``nearest`` or ``bilinear``.

    Shapes:
        (N, in_channels, h, w), (N, across_channels, H, W) -> (N, out_channels, H, W)
    """

    def __init__(
        self, in_channels: int, across_channels: int, out_channels: int, interpolation: Interpolation = "nearest"
    ) -> None:
        super().__init__()
        self.interpolation = interpolation
        self.conv1 = conv_norm_act(in_channels + across_channels, out_channels)
        self.conv2 = conv_norm_act(out_channels, out_channels)

    def forward(self, x: Tensor, size: tuple[int, int], across: Tensor | None = None) -> Tensor:
        h = F.interpolate(x, size=size, mode=self.interpolation)
        if across is not None:
            h = torch.cat([h, across], dim=1)
        merged: Tensor = self.conv2(self.conv1(h))
        return merged


def unet_resnet18(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    stem: Stem = "imagenet",
    decoder_channels: Widths = _WIDTHS,
    interpolation: Interpolation = "nearest",
) -> UNetResNet:
    """U-Net with ResNet-18: 14.3 million parameters.

    Args:
        in_channels: colours of the image.
        num_classes: classes of a pixel.
        stem: ``imagenet`` (7x7 convolution of stride 2, max-pool) or ``small`` (3x3, for images up to 64 pixels).
        decoder_channels: channels of each step on the way up, from coarse to fine.
        interpolation: on the way up, ``nearest`` or ``bilinear``.

    >>> sum(p.numel() for p in unet_resnet18(in_channels=3, num_classes=1).parameters())
    14328209
    """
    encoder = ResNet(BasicBlock, (2, 2, 2, 2), in_channels, 0, stem=stem)
    return UNetResNet(encoder, num_classes, decoder_channels, interpolation)


def unet_resnet34(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    stem: Stem = "imagenet",
    decoder_channels: Widths = _WIDTHS,
    interpolation: Interpolation = "nearest",
) -> UNetResNet:
    """U-Net with ResNet-34: 24.4 million parameters.

    Args:
        in_channels: colours of the image.
        num_classes: classes of a pixel.
        stem: ``imagenet`` (7x7 convolution of stride 2, max-pool) or ``small`` (3x3, for images up to 64 pixels).
        decoder_channels: channels of each step on the way up, from coarse to fine.
        interpolation: on the way up, ``nearest`` or ``bilinear``.
    """
    encoder = ResNet(BasicBlock, (3, 4, 6, 3), in_channels, 0, stem=stem)
    return UNetResNet(encoder, num_classes, decoder_channels, interpolation)


def unet_resnet50(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    stem: Stem = "imagenet",
    decoder_channels: Widths = _WIDTHS,
    interpolation: Interpolation = "nearest",
) -> UNetResNet:
    """U-Net with ResNet-50: 32.5 million parameters.

    Args:
        in_channels: colours of the image.
        num_classes: classes of a pixel.
        stem: ``imagenet`` (7x7 convolution of stride 2, max-pool) or ``small`` (3x3, for images up to 64 pixels).
        decoder_channels: channels of each step on the way up, from coarse to fine.
        interpolation: on the way up, ``nearest`` or ``bilinear``.
    """
    encoder = ResNet(Bottleneck, (3, 4, 6, 3), in_channels, 0, stem=stem)
    return UNetResNet(encoder, num_classes, decoder_channels, interpolation)
