"""What a layer answers to one image, channel by channel, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lamplighter.core.errors import LamplighterError
from lamplighter.core.registry import did_you_mean
from lamplighter.models.inspecting import grids
from lamplighter.models.inspecting.predict import predict


def feature_maps(model: nn.Module, image: Tensor, path: Path, layer: str | None = None, most: int = 64) -> Path:
    """Draw a layer's output channels for one image, each as a tile, bright where the channel answers.

    Tiles are stretched one by one, from the smallest to the largest answer; a channel that is the same everywhere (a
    dead unit, for instance) is drawn grey.

    Args:
        model: any network whose layer gives maps (N, C, H, W).
        image: (C, H, W) or (1, C, H, W).
        path: file to write, ``.png`` or ``.svg``.
        layer: its name; None takes the first 2-D convolution.
        most: of more channels evenly spaced ones are drawn.

    Returns:
        ``path``.

    Raises:
        LamplighterError: no such layer, or it gives no maps.
    """
    name = layer if layer is not None else _first(model)
    modules = dict(model.named_modules())
    if name not in modules:
        raise LamplighterError(f"no layer '{name}'{did_you_mean(name, [*modules])} in {type(model).__name__}")
    caught: list[Any] = []
    handle = modules[name].register_forward_hook(lambda _module, _given, output: caught.append(output))
    try:
        predict(model, image if image.dim() == 4 else image[None])
    finally:
        handle.remove()
    maps = caught[0] if caught else None
    if not isinstance(maps, Tensor) or maps.dim() != 4:
        found = "was not called" if maps is None else f"gives {_shape(maps)}"
        raise LamplighterError(f"layer '{name}' {found}; maps (N, C, H, W) are needed for a picture")
    channels = maps[0].detach().float().cpu().numpy()
    chosen = grids.spread(len(channels), most)
    figure, axes = grids.figure(len(chosen), 1.0, 1.0 * channels.shape[1] / channels.shape[2] + 0.15)
    for axis, channel in zip(axes, chosen):
        axis.imshow(grids.stretched(channels[channel]), cmap="magma", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(str(channel), fontsize=6, pad=2)
    size = " × ".join(map(str, channels.shape[1:]))
    figure.suptitle(f"{name}: {len(chosen)} of {len(channels)} channels, {size}", fontsize=9)
    grids.save(figure, path)
    return path


def _first(model: nn.Module) -> str:
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            return name
    raise LamplighterError(f"{type(model).__name__} has no 2-D convolution; name the layer whose maps to draw")


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
