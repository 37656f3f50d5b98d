"""Which input positions a number depends on: followed through convolutions, pools, sums and concatenations.

Along one axis, position o of a map depends on the input positions ``jump * o + f`` for all f in ``offsets``. Borders
are as if the input had no end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Axis:
    """One dimension of a map.

    Attributes:
        jump: input positions between two neighbours of the map.
        offsets: sorted, without repetition.
    """

    jump: int
    offsets: tuple[int, ...]

    @property
    def size(self) -> int:
        """From the first to the last position, both included."""
        return self.offsets[-1] - self.offsets[0] + 1

    def window(self, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
        """After a convolution or pool: its output o takes positions ``stride * o - padding + dilation * i``."""
        steps = self.jump * (dilation * np.arange(kernel) - padding)
        offsets = np.unique(np.add.outer(steps, np.array(self.offsets)))
        return Axis(self.jump * stride, tuple(offsets.tolist()))

    def union(self, other: Axis) -> Axis | None:
        """Of two branches that meet; None when they do not step alike."""
        if self.jump != other.jump:
            return None
        return Axis(self.jump, tuple(sorted({*self.offsets, *other.offsets})))


Axes = tuple[Axis | None, ...]
"""One entry for each dimension of a tensor: None for those that are no positions (any more)."""

_MIXING = {
    "matmul", "__matmul__", "bmm", "baddbmm", "mm", "einsum", "scaled_dot_product_attention", "flip", "roll", "cumsum",
    "multi_head_attention_forward", "interpolate", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "pixel_shuffle", "pixel_unshuffle", "sort", "unfold", "fold", "__getitem__", "grid_sample", "lstm", "gru",
}  # fmt: skip
"""Functions after which positions are lost, and with them those of every map that the result flows into."""


class ReachMode(TorchFunctionMode):
    """Follows `Axes` through everything that runs within ``with ReachMode(...)``.

    Args:
        input: the tensor that positions are counted in.
        spatial: how many of its last dimensions are positions.
        changed: told of each tensor whose positions all are still followed.
    """

    def __init__(self, input: Tensor, spatial: int, changed: Callable[[Axes], None]) -> None:
        super().__init__()
        start = Axis(1, (0,))
        self._known: dict[int, Axes] = {id(input): (None,) * (input.dim() - spatial) + (start,) * spatial}
        self._lost: set[int] = set()
        self._held: list[Tensor] = [input]  # an id means one tensor only as long as that lives
        self._spatial = spatial
        self._changed = changed

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").removesuffix("_with_indices").lstrip("_")
        given = _tensors((args, kwargs))
        before = {id(t): self._known[id(t)] for t in given if id(t) in self._known}
        out = func(*args, **kwargs)
        if getattr(func, "__name__", "") in _MIXING:
            self._lose(_tensors(out) if before or any(id(t) in self._lost for t in given) else [])
        elif any(id(t) in self._lost for t in given):
            self._lose(_tensors(out))
        elif before:
            outputs = _tensors(out)
            for tensor in outputs[:1] if "pool" in name else outputs:  # max pools may also give their indices
                self._note(tensor, self._after(name, tensor, args, kwargs, before))
        return out

    def _lose(self, tensors: list[Tensor]) -> None:
        for tensor in tensors:
            self._known.pop(id(tensor), None)
            self._lost.add(id(tensor))
            self._held.append(tensor)

    def _note(self, tensor: Tensor, axes: Axes | None) -> None:
        if axes is None or not any(axes):
            self._known.pop(id(tensor), None)
            return
        self._known[id(tensor)] = axes
        self._held.append(tensor)
        if sum(axis is not None for axis in axes) == self._spatial:
            self._changed(axes)

    def _after(self, name: str, out: Tensor, args: Any, kwargs: Any, before: dict[int, Axes]) -> Axes | None:
        own = before.get(id(args[0])) if args and isinstance(args[0], Tensor) else None
        if name in ("conv1d", "conv2d", "conv3d") and own:
            return _windowed(own, _convolution(args, kwargs, self._spatial))
        if "pool" in name and own:
            if name.startswith("adaptive"):
                return _adaptive(own, args[0].shape, out.shape)
            return _windowed(own, _pool(args, kwargs, self._spatial))
        if name == "pad" and own:
            return _padded(own, args[1] if len(args) > 1 else kwargs["pad"])
        if name in ("permute", "transpose", "movedim") and own:
            return _permuted(own, args, kwargs, out)
        if name == "linear" and own:
            return (*own[:-1], None)
        return _merged(out, [(t, before[id(t)]) for t in _tensors((args, kwargs)) if id(t) in before])


def _convolution(args: Any, kwargs: Any, n: int) -> list[tuple[int, int, int, int]]:
    def get(position: int, name: str, default: Any) -> Any:
        return args[position] if len(args) > position else kwargs.get(name, default)

    kernel = get(1, "weight", None).shape[2:]
    stride, dilation, padding = _each(get(3, "stride", 1), n), _each(get(5, "dilation", 1), n), get(4, "padding", 0)
    if isinstance(padding, str):  # an even kernel's odd position is added behind
        padding = [d * (k - 1) // 2 if padding == "same" else 0 for k, d in zip(kernel, dilation)]
    return list(zip(kernel, stride, _each(padding, n), dilation))


def _pool(args: Any, kwargs: Any, n: int) -> list[tuple[int, int, int, int]]:
    def get(position: int, name: str, default: Any) -> Any:
        return args[position] if len(args) > position else kwargs.get(name, default)

    kernel = get(1, "kernel_size", None)
    stride = get(2, "stride", None) or kernel
    dilation = kwargs.get("dilation", args[4] if len(args) > 4 and not isinstance(args[4], bool) else 1)
    return list(zip(_each(kernel, n), _each(stride, n), _each(get(3, "padding", 0), n), _each(dilation, n)))


def _windowed(axes: Axes, windows: list[tuple[int, int, int, int]]) -> Axes:
    lead = len(axes) - len(windows)
    moved = [axis and axis.window(*window) for axis, window in zip(axes[lead:], windows)]
    return (*axes[:lead], *moved)


def _adaptive(axes: Axes, before: torch.Size, after: torch.Size) -> Axes | None:
    """Bins of one size are a pool; a single bin sees everything, so positions end there."""
    moved: list[Axis | None] = []
    for axis, old, new in zip(axes, before, after):
        if axis is None or new == old:
            moved.append(axis)
        elif new == 1 or old % new:
            return None
        else:
            moved.append(axis.window(old // new, old // new, 0, 1))
    return tuple(moved)


def _padded(axes: Axes, pad: Sequence[int]) -> Axes:
    moved = list(axes)
    for index in range(len(pad) // 2):  # from the last dimension on: left, right
        axis = moved[-1 - index]
        if axis is not None:
            moved[-1 - index] = Axis(axis.jump, tuple(f - axis.jump * pad[2 * index] for f in axis.offsets))
    return tuple(moved)


def _permuted(axes: Axes, args: Any, kwargs: Any, out: Tensor) -> Axes | None:
    """Where each dimension went, found by moving their numbers the same way."""
    probe = torch.empty([i + 2 for i in range(len(axes))], device="meta")
    with torch._C.DisableTorchFunction():
        name = "permute" if len(args) > 1 and (isinstance(args[1], tuple | list) or len(args) > 3) else "transpose"
        moved = getattr(probe, name)(*args[1:], **kwargs)
    return tuple(axes[size - 2] for size in moved.shape) if moved.dim() == out.dim() else None


def _merged(out: Tensor, sources: list[tuple[Tensor, Axes]]) -> Axes | None:
    """Number by number: dimensions of equal size, aligned at the last, hold the same positions."""
    merged: list[Axis | None] = [None] * out.dim()
    for tensor, axes in sources:
        for back in range(1, min(out.dim(), tensor.dim()) + 1):
            axis = axes[-back]
            if out.shape[-back] != tensor.shape[-back]:
                if axis is not None or out.dim() != tensor.dim():
                    break  # a view that regroups numbers: what lies before cannot be told apart
                continue
            if axis is not None:
                present = merged[-back]
                merged[-back] = axis if present is None else present.union(axis)
    return tuple(merged)


def _each(value: Any, n: int) -> list[int]:
    values = [value] * n if isinstance(value, int) else [int(v) for v in value]
    return values * n if len(values) == 1 else values


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for item in value for t in _tensors(item)] if isinstance(value, tuple | list) else []
