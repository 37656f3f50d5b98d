"""DeepLabV3: a ResNet whose late stages keep their resolution, and a pyramid of dilated convolutions on top."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.core.errors import LamplighterError
from lamplighter.core.registry import FromData
from lamplighter.models.resnet import OutputStride, ResNet, Stem
from lamplighter.models.weights.encoder_names import encoder_alone
from lamplighter.models.weights.layouts import Layout
from lamplighter.nn.aspp import ASPP
from lamplighter.nn.conv import conv_norm_act
from lamplighter.nn.residual import BasicBlock, Bottleneck

Rate = Annotated[int, Field(gt=0)]
RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}
"""Dilations of the pyramid that reach equally far in the image, for each output stride."""


class DeepLabV3(nn.Module):
    """Backbone with dilation -> `ASPP` -> 3x3 convolution -> 1x1 convolution -> bilinear to the size of the image
    (Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation").

    Names of parameters and buffers are torchvision's; a ResNet's own file loads into the backbone.

    Args:
        backbone: without a head.
        num_classes: classes of a pixel.
        rates: dilations of the pyramid.
        aux: a second, small classifier on the last stage but one, whose loss helps the backbone to train.
        dropout: share of the pyramid's output set to 0 in each training step.

    Shapes:
        (N, in_channels, H, W) -> logits (N, num_classes, H, W), any size
    """

    layouts: ClassVar[tuple[Layout, ...]] = (encoder_alone("backbone"),)
    """Other names under which checkpoints hold these tensors."""

    def __init__(
        self, backbone: ResNet, num_classes: int, rates: tuple[int, ...], aux: bool = False, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Sequential(
            ASPP(backbone.channels, rates, dropout=dropout),
            *conv_norm_act(256, 256, 3),
            nn.Conv2d(256, num_classes, 1),
        )
        self.aux_classifier: nn.Sequential | None = None
        if aux:
            channels = backbone.channels // 2
            self.aux_classifier = nn.Sequential(
                *conv_norm_act(channels, channels // 4, 3),
                nn.Dropout(0.1),
                nn.Conv2d(channels // 4, num_classes, 1),
            )

    @property
    def head(self) -> nn.Module:
        """The last layer, under the name that every model of the zoo has it."""
        return self.classifier[-1]

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """The backbone's maps from fine to coarse: ``stem``, ``layer1`` ... ``layer4``."""
        return self.backbone.features(x)

    def decode(self, maps: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        """Logits (N, num_classes, H, W) from the maps of `features`.

        Args:
            maps: only ``layer4`` is used.
            size: H and W.
        """
        return F.interpolate(self.classifier(maps["layer4"]), size=size, mode="bilinear", align_corners=False)

    def decode_aux(self, maps: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        """Logits of the second classifier, from ``layer3``; as torchvision adds their loss to the first's, half as
        much.

        Raises:
            LamplighterError: the model was built without it.
        """
        if self.aux_classifier is None:
            raise LamplighterError("DeepLabV3: there is no second classifier; build the model with aux=True")
        return F.interpolate(self.aux_classifier(maps["layer3"]), size=size, mode="bilinear", align_corners=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.features(x), (x.shape[2], x.shape[3]))


def _build(
    block: type[BasicBlock] | type[Bottleneck],
    depths: tuple[int, int, int, int],
    in_channels: int,
    num_classes: int,
    output_stride: OutputStride,
    rates: tuple[int, ...] | None,
    aux: bool,
    stem: Stem,
) -> DeepLabV3:
    backbone = ResNet(block, depths, in_channels, 0, stem=stem, output_stride=output_stride)
    return DeepLabV3(backbone, num_classes, RATES[output_stride] if rates is None else rates, aux)


def deeplabv3_resnet18(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    output_stride: OutputStride = 16,
    rates: tuple[Rate, ...] | None = None,
    aux: bool = False,
    stem: Stem = "imagenet",
) -> DeepLabV3:
    """DeepLabV3 on ResNet-18, the light one: 15.9 million parameters with 21 classes. There is no published checkpoint.

    Args:
        in_channels: colours of the image.
        num_classes: classes of a pixel.
        output_stride: pixels of the image for one of the coarsest map in each direction: 8, 16 or 32. Small sees
            finer and costs more. With the small stem it is a quarter of this.
        rates: dilations of the pyramid; by default 12, 24, 36 at output stride 8, half of those at 16, a quarter at 32.
        aux: a second classifier on ``layer3``, for training.
        stem: ``imagenet`` (7x7 convolution of stride 2, max-pool) or ``small`` (3x3, for images up to 64 pixels).
    """
    return _build(BasicBlock, (2, 2, 2, 2), in_channels, num_classes, output_stride, rates, aux, stem)


def deeplabv3_resnet50(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    output_stride: OutputStride = 8,
    rates: tuple[Rate, ...] | None = None,
    aux: bool = False,
    stem: Stem = "imagenet",
) -> DeepLabV3:
    """DeepLabV3 on ResNet-50, as torchvision's: 39.6 million parameters with 21 classes.

    Args:
        in_channels: colours of the image.
        num_classes: classes of a pixel.
        output_stride: pixels of the image for one of the coarsest map in each direction: 8, 16 or 32. Small sees
            finer and costs more. With the small stem it is a quarter of this.
        rates: dilations of the pyramid; by default 12, 24, 36 at output stride 8, half of those at 16, a quarter at 32.
        aux: a second classifier on ``layer3``, for training; torchvision's checkpoints have one.
        stem: ``imagenet`` (7x7 convolution of stride 2, max-pool) or ``small`` (3x3, for images up to 64 pixels).
    """
    return _build(Bottleneck, (3, 4, 6, 3), in_channels, num_classes, output_stride, rates, aux, stem)


def deeplabv3_resnet101(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    output_stride: OutputStride = 8,
    rates: tuple[Rate, ...] | None = None,
    aux: bool = False,
    stem: Stem = "imagenet",
) -> DeepLabV3:
    """DeepLabV3 on ResNet-101, as torchvision's: 58.6 million parameters with 21 classes.

    Args:
        in_channels: colours of the image.
        num_classes: classes of a pixel.
        output_stride: pixels of the image for one of the coarsest map in each direction: 8, 16 or 32. Small sees
            finer and costs more. With the small stem it is a quarter of this.
        rates: dilations of the pyramid; by default 12, 24, 36 at output stride 8, half of those at 16, a quarter at 32.
        aux: a second classifier on ``layer3``, for training; torchvision's checkpoints have one.
        stem: ``imagenet`` (7x7 convolution of stride 2, max-pool) or ``small`` (3x3, for images up to 64 pixels).
    """
    return _build(Bottleneck, (3, 4, 23, 3), in_channels, num_classes, output_stride, rates, aux, stem)
