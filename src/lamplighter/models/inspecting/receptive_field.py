"""How large a part of the input one output position sees, and whether there are holes in it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lamplighter.core.errors import LamplighterError
from lamplighter.models.inspecting.layers import Call, LayerStack
from lamplighter.models.inspecting.predict import evaluating
from lamplighter.models.inspecting.reach import Axes, ReachMode

_SIZES = (32, 128, 512, 2048, 8192)  # tried one after another until all kernels fit


class GriddingWarning(UserWarning):
    """Some positions within a receptive field are never looked at."""


@dataclass(frozen=True)
class LayerReach:
    """The receptive field after one layer: sizes and steps for each axis, in input positions."""

    name: str
    kind: str
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class ReceptiveField:
    """What `receptive_field` returns. All tuples have one entry for each axis.

    Attributes:
        size: positions from the first to the last that one output position depends on.
        stride: input positions between two neighbouring outputs.
        touched: how many of ``size`` positions it really depends on.
        layers: the same after each layer that changes it.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    touched: tuple[int, ...]
    layers: list[LayerReach] = field(repr=False)

    @property
    def gridding(self) -> bool:
        """Whether some axis has holes."""
        return self.touched < self.size

    def __str__(self) -> str:
        words = f"receptive field {' x '.join(map(str, self.size))}, stride {' x '.join(map(str, self.stride))}"
        return f"{words}; {_holes(self)}" if self.gridding else words


def receptive_field(model: nn.Module | Sequence[nn.Module], input: Tensor | None = None) -> ReceptiveField:
    """The receptive field of one position of a network's last feature map before it is pooled, flattened or up-sampled.

    Every layer is followed: a kernel k with dilation d adds d (k - 1) times the stride so far; where branches meet, the
    union counts. What depends on all positions at once is not counted: statistics of a norm, squeeze and excitation, a
    global pool. Attention and up-sampling end it; of a U-Net it is that of the lowest map. Nothing is computed: the
    network runs on torch's "meta" device.

    Args:
        model: a network, or layers in a row.
        input: an example (N, C, positions ...), of any values. Left out, one is made up that fits the first
            convolution or pool.

    Raises:
        LamplighterError: there is no map whose positions can be followed.

    Warns:
        GriddingWarning: positions within the field are never looked at, as with dilations 2, 2, 2 in a row. Dilations
            without a common divisor (1, 2, 5) have no such holes (Wang et al. 2018, "Understanding Convolution").

    >>> receptive_field([nn.Conv1d(1, 1, 3, dilation=d) for d in (1, 2, 4)]).size
    (15,)
    """
    network = model if isinstance(model, nn.Module) else nn.Sequential(*model)
    network = copy.deepcopy(network).to("meta")
    if input is not None:
        found = _follow(network, torch.empty(input.shape, dtype=input.dtype, device="meta"))
    else:
        found = _follow_made_up(network)
    if found.gridding:
        warnings.warn(_holes(found), GriddingWarning, stacklevel=2)
    return found


def _follow_made_up(network: nn.Module) -> ReceptiveField:
    channels, dimensions = _first_layer(network)
    for size in _SIZES:
        example = torch.empty((2, channels, *[size] * dimensions), device="meta")
        try:
            return _follow(network, example)
        except LamplighterError:
            if size == _SIZES[-1]:
                raise
    raise AssertionError


def _follow(network: nn.Module, example: Tensor) -> ReceptiveField:
    spatial = example.dim() - 2
    layers: list[LayerReach] = []
    last: list[Axes] = []

    def changed(axes: Axes) -> None:
        last[:] = [axes]

    def left(call: Call, _out: list[Tensor]) -> None:
        if not last or list(call.module.children()):
            return
        size, stride = _sizes(last[0])
        if not layers or (layers[-1].size, layers[-1].stride) != (size, stride):
            layers.append(LayerReach(call.path, type(call.module).__name__, size, stride))

    stack = LayerStack(network, left=left)
    with evaluating(network), torch.no_grad(), stack.following(), ReachMode(example, spatial, changed):
        network(example)
    if not last:
        raise LamplighterError("receptive_field: no layer gave a map whose positions could be followed")
    size, stride = _sizes(last[0])
    return ReceptiveField(size, stride, tuple(len(axis.offsets) for axis in last[0] if axis), layers)


def _sizes(axes: Axes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    present = [axis for axis in axes if axis is not None]
    return tuple(axis.size for axis in present), tuple(axis.jump for axis in present)


def _first_layer(network: nn.Module) -> tuple[int, int]:
    """Channels and number of axes of the first convolution; without one, 1 and those of the first pool."""
    kinds: list[tuple[int, Any]] = [(n, getattr(nn, f"Conv{n}d")) for n in (1, 2, 3)]
    pools = [(n, getattr(nn, f"{kind}Pool{n}d")) for n in (1, 2, 3) for kind in ("Max", "Avg")]
    for group in (kinds, pools):
        for module in network.modules():
            for dimensions, kind in group:
                if isinstance(module, kind):
                    return getattr(module, "in_channels", 1), dimensions
    raise LamplighterError("receptive_field: there is neither a convolution nor a pool; give an example input")


def _holes(found: ReceptiveField) -> str:
    axes = ", ".join(f"{touched} of {size}" for touched, size in zip(found.touched, found.size) if touched < size)
    return f"gridding: only {axes} positions along an axis are looked at; choose dilations without a common divisor"
