"""The kernels of a network's first convolution as a picture: what it looks for in an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import nn

from lamplighter.core.errors import LamplighterError
from lamplighter.models.inspecting import grids

_MOST = 256


def kernels(model: nn.Module, path: Path, layer: str | None = None) -> Path:
    """Draw each kernel of a 2-D convolution as a tile.

    Kernels over three channels are drawn in colour, each stretched to its own range, so that a grey tile stands for 0
    only where the kernel is symmetric. All others: the mean over the channels, blue for negative and red for positive,
    on one scale for all tiles. Of more than 256 kernels evenly spaced ones are drawn.

    After training, first kernels look like edges and blobs of colour; pure noise means that they have not learnt.

    Args:
        model: any network.
        path: file to write, ``.png`` or ``.svg``.
        layer: name of the convolution; None takes the first one.

    Returns:
        ``path``.

    Raises:
        LamplighterError: there is no 2-D convolution (of that name).
    """
    name, conv = _find(model, layer)
    weights = conv.weight.detach().float().cpu().numpy()
    chosen = weights[list(grids.spread(len(weights), _MOST))]
    figure, axes = grids.figure(len(chosen), 0.6, 0.6)
    limit = float(np.abs(chosen.mean(1)).max()) or 1.0
    for axis, kernel in zip(axes, chosen):
        if kernel.shape[0] == 3:
            axis.imshow(grids.stretched(kernel).transpose(1, 2, 0), interpolation="nearest")
        else:
            axis.imshow(kernel.mean(0), cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    size = " × ".join(map(str, weights.shape[2:]))
    figure.suptitle(f"{name}: {len(weights)} kernels of {size} over {weights.shape[1]} channels", fontsize=9)
    grids.save(figure, path)
    return path


def _find(model: nn.Module, layer: str | None) -> tuple[str, nn.Conv2d]:
    convs = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    if not convs:
        raise LamplighterError(f"{type(model).__name__} has no 2-D convolution, so there are no kernels to draw")
    found = next(((name, conv) for name, conv in convs if layer in (None, name)), None)
    if found is None:
        raise LamplighterError(f"no 2-D convolution '{layer}'; there are: {', '.join(name for name, _ in convs[:20])}")
    return found
