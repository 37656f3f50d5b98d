"""Parity of DeepLabV3 with torchvision, of U-Nets with segmentation_models_pytorch, of the classic with its formula."""

from __future__ import annotations

from typing import Any

import segmentation_models_pytorch as smp
import torch
import torchvision
from parity import Case, noise
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter import models
from lamplighter.models.deeplabv3 import DeepLabV3
from lamplighter.models.resnet import ResNet
from lamplighter.nn.residual import Bottleneck


def images() -> tuple[Tensor, ...]:
    return (noise(2, 3, 33, 41),)


def without_dropout(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


# DeepLabV3


def _torchvision(depth: int, aux: bool = False) -> Any:
    build = getattr(torchvision.models.segmentation, f"deeplabv3_resnet{depth}")
    return lambda: without_dropout(build(weights=None, weights_backbone=None, num_classes=5, aux_loss=aux))


def _torchvision_small(output_stride: int, aux: bool = False) -> Any:
    """One bottleneck in each stage, with torchvision's own parts: quick, and every line of the network is in it."""

    def build() -> nn.Module:
        from torchvision.models._utils import IntermediateLayerGetter
        from torchvision.models.segmentation import deeplabv3, fcn

        dilated = {8: [False, True, True], 16: [False, False, True], 32: [False, False, False]}[output_stride]
        rates = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}[output_stride]
        resnet = torchvision.models.ResNet(
            torchvision.models.resnet.Bottleneck, [1, 1, 1, 2], replace_stride_with_dilation=dilated
        )
        backbone = IntermediateLayerGetter(resnet, {"layer3": "aux", "layer4": "out"})
        head = deeplabv3.DeepLabHead(2048, 5, rates)
        return without_dropout(deeplabv3.DeepLabV3(backbone, head, fcn.FCNHead(1024, 5) if aux else None))

    return build


def _ours_small(output_stride: Any, aux: bool = False) -> Any:
    from lamplighter.models.deeplabv3 import RATES

    def build() -> nn.Module:
        backbone = ResNet(Bottleneck, (1, 1, 1, 2), 3, 0, output_stride=output_stride)
        return without_dropout(DeepLabV3(backbone, 5, RATES[output_stride], aux))

    return build


def both(model: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of both classifiers from one pass."""
    maps, size = model.features(x), (x.shape[2], x.shape[3])
    return model.decode(maps, size), model.decode_aux(maps, size)


def wrong_rate(model: Any) -> None:
    conv = model.classifier[0].convs[1][0]
    conv.dilation = conv.padding = (2, 2)


def dilation_in_the_first_block_too(model: Any) -> None:
    """The first block of a dilated stage still reads the undilated grid of the stage before."""
    conv = model.backbone.layer4[0].conv1
    conv.dilation = conv.padding = model.backbone.layer4[1].conv1.dilation


def no_image_pooling(model: Any) -> None:
    pooling = model.classifier[0].convs[-1]
    pooling.forward = lambda x: torch.zeros_like(x[:, :256])


def corners_aligned(model: Any) -> None:
    def decode(maps: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        return F.interpolate(model.classifier(maps["layer4"]), size=size, mode="bilinear", align_corners=True)

    model.decode = decode


def wrong_epsilon(model: Any) -> None:
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    norms[-1].eps = 1.1e-5


# U-Nets


class Formula(nn.Module):
    """The paper's figure 1 with padded convolutions, from torch's functions and a table of weights, for sides that are
    multiples of 2 ** depth. It is not made of our modules; the names of its weights are ours.
    """

    def __init__(self, depth: int, twin: nn.Module) -> None:
        super().__init__()
        self.depth = depth
        self.batch_norm = any(isinstance(m, nn.BatchNorm2d) for m in twin.modules())
        self.transposed = twin.up[0].name == "transposed"  # type: ignore[index,union-attr]
        for name, tensor in twin.state_dict().items():
            parent: nn.Module = self
            *path, last = name.split(".")
            for part in path:
                if part not in parent._modules:
                    parent.add_module(part, nn.Module())
                parent = parent.get_submodule(part)
            if "running" in last or "num" in last:
                parent.register_buffer(last, tensor.clone())
            else:
                parent.register_parameter(last, nn.Parameter(tensor.clone()))

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for level in range(self.depth):
            x = self.twice(x, f"down.{level}")
            kept.append(x)
            x = F.max_pool2d(x, 2)
        x = self.twice(x, f"down.{self.depth}")
        for step, across in enumerate(reversed(kept)):
            x = self.twice(torch.cat([across, self.higher(x, f"up.{step}.conv")], 1), f"merge.{step}")
        return self.conv(x, "head", 0)

    def higher(self, x: Tensor, name: str) -> Tensor:
        at: Any = self.get_submodule(name)
        if self.transposed:
            return F.conv_transpose2d(x, at.weight, at.bias, stride=2)
        return self.conv(F.interpolate(x, scale_factor=2, mode="bilinear"), name, 0)

    def twice(self, x: Tensor, name: str) -> Tensor:
        for index in (0, 3) if self.batch_norm else (0, 2):
            x = self.conv(x, f"{name}.{index}", 1)
            if self.batch_norm:
                at: Any = self.get_submodule(f"{name}.{index + 1}")
                x = F.batch_norm(x, at.running_mean, at.running_var, at.weight, at.bias, self.training)
                at.num_batches_tracked += int(self.training)
            x = x.relu()
        return x

    def conv(self, x: Tensor, name: str, padding: int) -> Tensor:
        at: Any = self.get_submodule(name)
        return F.conv2d(x, at.weight, getattr(at, "bias", None), padding=padding)


def _unet(**options: Any) -> Any:
    return lambda: models.create("unet", in_channels=3, num_classes=5, width=4, depth=3, **options)


def average_for_maximum(model: Any) -> None:
    model.pool = nn.AvgPool2d(2, ceil_mode=True)


def maps_in_the_wrong_order(model: Any) -> None:
    """The way up before the map from across, in the channels."""
    merge = model.merge[0]
    model.merge[0] = Swapped(merge)


class Swapped(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        swapped: Tensor = self.inner(x.roll(x.shape[1] // 2, 1))
        return swapped


def interpolated_with_blur(model: Any) -> None:
    model.decoder.blocks[1].interpolation = "bilinear"


def without_the_stem_map(model: Any) -> None:
    features = model.encoder.features

    def forget(x: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = features(x)
        maps["stem"] = torch.zeros_like(maps["stem"])
        return maps

    model.encoder.features = forget


def _smp(encoder: str, **options: Any) -> Any:
    return lambda: smp.Unet(encoder, encoder_weights=None, classes=5, **options)


def _ours(name: str, **options: Any) -> Any:
    return lambda: without_dropout(models.create(name, in_channels=3, num_classes=5, **options))


# smp refuses sides that 32 does not divide, although its network takes them: only its forward's check is left out here.
def smp_any_size(model: Any, x: Tensor) -> Tensor:
    out: Tensor = model.segmentation_head(model.decoder(model.encoder(x)))
    return out


def _torchvision_basic(output_stride: Any) -> nn.Module:
    """DeepLabV3 on ResNet-18 has no torchvision twin: its basic blocks take no dilation. Without dilation they do."""
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.models.segmentation import deeplabv3

    resnet = torchvision.models.resnet18()
    if output_stride < 32:
        _dilate(resnet.layer4, 2 if output_stride == 16 else 4)
    if output_stride < 16:
        _dilate(resnet.layer3, 2)
    rates = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}[output_stride]
    backbone = IntermediateLayerGetter(resnet, {"layer4": "out"})
    return without_dropout(deeplabv3.DeepLabV3(backbone, deeplabv3.DeepLabHead(512, 5, rates)))


def _dilate(stage: Any, dilation: int) -> None:
    """Turn the stride of a torchvision stage into dilation, by hand."""
    stage[0].conv1.stride, stage[0].downsample[0].stride = (1, 1), (1, 1)
    first = stage[0].conv1
    first.dilation = first.padding = (dilation // 2,) * 2
    for conv in (stage[0].conv2, stage[1].conv1, stage[1].conv2):
        conv.dilation = conv.padding = (dilation,) * 2


CASES = [
    Case(
        model="deeplabv3_resnet50",
        variant="1, 1, 1, 2 blocks",
        reference="torchvision.models.segmentation.deeplabv3.DeepLabV3",
        ours=_ours_small(8),
        theirs=_torchvision_small(8),
        inputs=images,
        call_theirs=lambda model, x: model(x)["out"],
    ),
    Case(
        model="deeplabv3_resnet50",
        variant="output stride 16, second classifier",
        reference="torchvision.models.segmentation.deeplabv3.DeepLabV3",
        ours=_ours_small(16, aux=True),
        theirs=_torchvision_small(16, aux=True),
        inputs=images,
        call_ours=both,
        call_theirs=lambda model, x: tuple(model(x).values()),
        slow=True,
    ),
    Case(
        model="deeplabv3_resnet50",
        reference="torchvision.models.segmentation.deeplabv3_resnet50",
        ours=_ours("deeplabv3_resnet50"),
        theirs=_torchvision(50),
        inputs=images,
        call_theirs=lambda model, x: model(x)["out"],
        slow=True,
    ),
    Case(
        model="deeplabv3_resnet101",
        reference="torchvision.models.segmentation.deeplabv3_resnet101",
        ours=_ours("deeplabv3_resnet101"),
        theirs=_torchvision(101),
        inputs=images,
        call_theirs=lambda model, x: model(x)["out"],
        slow=True,
    ),
    Case(
        model="unet",
        variant="batch norm",
        reference="its formula with torch.nn.functional",
        ours=_unet(),
        theirs=lambda: Formula(3, _unet()()),
        inputs=lambda: (noise(2, 3, 24, 40),),
        mutations=(average_for_maximum, maps_in_the_wrong_order, wrong_epsilon),
    ),
    Case(
        model="unet",
        variant="no norm, bilinear",
        reference="its formula with torch.nn.functional",
        ours=_unet(norm="none", up="bilinear"),
        theirs=lambda: Formula(3, _unet(norm="none", up="bilinear")()),
        inputs=lambda: (noise(2, 3, 24, 40),),
    ),
    Case(
        model="unet_resnet18",
        reference="segmentation_models_pytorch.Unet('resnet18')",
        ours=_ours("unet_resnet18"),
        theirs=_smp("resnet18"),
        inputs=lambda: (noise(2, 3, 64, 32),),
        mutations=(interpolated_with_blur, without_the_stem_map, wrong_epsilon),
    ),
    Case(
        model="unet_resnet18",
        variant="any size, bilinear",
        reference="segmentation_models_pytorch.Unet('resnet18')",
        ours=_ours("unet_resnet18", decoder_channels=(64, 32, 16, 8, 4), interpolation="bilinear"),
        theirs=_smp("resnet18", decoder_channels=(64, 32, 16, 8, 4), decoder_interpolation="bilinear"),
        inputs=lambda: (noise(2, 3, 45, 70),),
        call_theirs=smp_any_size,
    ),
    Case(
        model="unet_resnet34",
        reference="segmentation_models_pytorch.Unet('resnet34')",
        ours=_ours("unet_resnet34"),
        theirs=_smp("resnet34"),
        inputs=lambda: (noise(2, 3, 64, 32),),
        slow=True,
    ),
    Case(
        model="unet_resnet50",
        reference="segmentation_models_pytorch.Unet('resnet50')",
        ours=_ours("unet_resnet50"),
        theirs=_smp("resnet50"),
        inputs=lambda: (noise(2, 3, 64, 32),),
        slow=True,
    ),
]
CASES += [
    Case(
        model="deeplabv3_resnet18",
        variant=f"output stride {stride}",
        reference="torchvision's parts, its ResNet-18 dilated by hand",
        ours=_ours("deeplabv3_resnet18", output_stride=stride),
        theirs=lambda stride=stride: _torchvision_basic(stride),
        inputs=images,
        call_theirs=lambda model, x: model(x)["out"],
        slow=stride == 32,
        mutations=(
            ()
            if stride != 8
            else (wrong_rate, dilation_in_the_first_block_too, no_image_pooling, corners_aligned, wrong_epsilon)
        ),
    )
    for stride in (8, 16, 32)
]
