"""The size that a convolution, a pooling or a transposed convolution gives, and the error where torch gives one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from lamplighter.core.errors import LamplighterError

Operation = Literal["conv", "max-pool", "avg-pool", "transposed-conv"]
Sizes = int | Sequence[int]

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_AVG_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_ADAPTIVE = (
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
)


@dataclass(frozen=True)
class _Axis:
    """The parameters of one dimension."""

    kernel_size: int
    stride: int
    padding: int | str
    dilation: int
    output_padding: int
    ceil_mode: bool
    padding_mode: str


def output_size(
    operation: Operation | nn.Module,
    size: Sizes,
    kernel_size: Sizes | None = None,
    stride: Sizes | None = None,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    *,
    ceil_mode: bool = False,
    output_padding: Sizes = 0,
) -> int | tuple[int, ...]:
    """How large the output is, dimension by dimension.

    * ``conv`` and pools: floor((size + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1. With ``ceil_mode`` a
      pool rounds up, unless its last window would begin in the padding on the right.
    * ``transposed-conv``: (size - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1.
    * ``padding="same"`` keeps the size, at stride 1 only; ``"valid"`` is 0.

    Args:
        operation: one of the four, or a layer of torch, whose own parameters are then used.
        size: of the input's positions: one number, or one for each dimension.
        kernel_size, stride, padding, dilation, output_padding: one number, or one for each dimension. The stride is 1
            unless said otherwise, for pools the kernel size.
        ceil_mode: of pools.

    Returns:
        A number where ``size`` is one, else a tuple.

    Raises:
        LamplighterError: where torch raises as well: a kernel larger than the padded input, a padding of more than
            half the kernel in a pool, ``same`` with a stride, an output padding not below stride or dilation ...

    >>> output_size("conv", 32, kernel_size=3, stride=2, padding=1)
    16
    >>> output_size(nn.MaxPool2d(2, ceil_mode=True), (33, 32))
    (17, 16)
    """
    sizes = [size] if isinstance(size, int) else [*size]
    if isinstance(operation, nn.Module):
        found = _of_layer(operation, sizes)
    else:
        if kernel_size is None:
            raise LamplighterError(f"output_size('{operation}', ...): kernel_size is missing")
        steps = stride if stride is not None else (kernel_size if operation.endswith("pool") else 1)
        parameters = {"kernel_size": kernel_size, "stride": steps, "padding": padding, "dilation": dilation}
        parameters |= {"output_padding": output_padding, "ceil_mode": ceil_mode, "padding_mode": "zeros"}
        found = [_one(operation, n, _axis(parameters, i, len(sizes))) for i, n in enumerate(sizes)]
    return found[0] if isinstance(size, int) else tuple(found)


def _of_layer(layer: nn.Module, sizes: list[int]) -> list[int]:
    if isinstance(layer, _ADAPTIVE):
        wanted = layer.output_size
        targets = [wanted] * len(sizes) if isinstance(wanted, int) or wanted is None else [*wanted]
        return [n if target is None else int(target) for n, target in zip(sizes, targets, strict=True)]
    kinds: list[tuple[tuple[type[nn.Module], ...], Operation]] = [
        (_TRANSPOSED, "transposed-conv"),
        (_CONVS, "conv"),
        (_MAX_POOLS, "max-pool"),
        (_AVG_POOLS, "avg-pool"),
    ]
    operation = next((name for classes, name in kinds if isinstance(layer, classes)), None)
    if operation is None:
        raise LamplighterError(
            f"output_size: {type(layer).__name__} is neither a convolution nor a pooling layer of torch"
        )
    names = ("kernel_size", "stride", "padding", "dilation", "output_padding", "ceil_mode", "padding_mode")
    defaults: dict[str, Any] = {"dilation": 1, "output_padding": 0, "ceil_mode": False, "padding_mode": "zeros"}
    parameters = {name: getattr(layer, name, defaults.get(name)) for name in names}
    return [_one(operation, n, _axis(parameters, i, len(sizes))) for i, n in enumerate(sizes)]


def _axis(parameters: dict[str, Any], axis: int, axes: int) -> _Axis:
    """Parameters of one dimension: of a sequence its entry, else the value itself."""

    def pick(name: str) -> Any:
        value = parameters[name]
        if isinstance(value, str | int):
            return value
        if len(value) == 1:
            return value[0]
        if len(value) != axes:
            raise LamplighterError(f"output_size: {name} has {len(value)} entries, the size has {axes}")
        return value[axis]

    return _Axis(**{name: pick(name) for name in parameters})


def _one(operation: Operation, size: int, axis: _Axis) -> int:
    """One dimension."""
    _check_positive(operation, size, axis)
    reach = axis.dilation * (axis.kernel_size - 1) + 1  # positions between the first and the last of the kernel
    if axis.padding == "same":
        if axis.stride != 1:
            raise LamplighterError("output_size: padding 'same' needs a stride of 1; torch has no other")
        if operation != "conv":
            raise LamplighterError(f"output_size: padding 'same' is for 'conv', not for '{operation}'")
        return size
    padding = 0 if axis.padding == "valid" else int(axis.padding)
    if operation == "transposed-conv":
        return _transposed(size, padding, reach, axis)
    if operation.endswith("pool") and padding > axis.kernel_size // 2:
        raise LamplighterError(
            f"output_size: a pool's padding ({padding}) may be half its kernel ({axis.kernel_size}) at most"
        )
    if operation == "conv":
        _check_mode(size, padding, axis)
    room = size + 2 * padding - reach
    if room < 0 and not (axis.ceil_mode and operation != "conv"):
        raise LamplighterError(
            f"output_size: the kernel spans {reach} positions, the input with its padding has {size + 2 * padding}"
        )
    if not axis.ceil_mode or operation == "conv":
        return room // axis.stride + 1
    windows = -(-room // axis.stride) + 1
    if (windows - 1) * axis.stride >= size + padding:  # the last window would begin beyond the input
        windows -= 1
    if windows < 1:
        raise LamplighterError(f"output_size: nothing is left of {size} positions with a kernel of {reach}")
    return windows


def _transposed(size: int, padding: int, reach: int, axis: _Axis) -> int:
    if axis.output_padding and axis.output_padding >= max(axis.stride, axis.dilation):
        raise LamplighterError(
            f"output_size: output_padding ({axis.output_padding}) must be smaller than the stride ({axis.stride}) or "
            f"the dilation ({axis.dilation})"
        )
    found = (size - 1) * axis.stride - 2 * padding + reach + axis.output_padding
    if found < 1:
        raise LamplighterError(f"output_size: the padding ({padding}) takes away all of the output")
    return found


def _check_positive(operation: Operation, size: int, axis: _Axis) -> None:
    for name, value, low in (
        ("size", size, 1),
        ("kernel_size", axis.kernel_size, 1),
        ("stride", axis.stride, 1),
        ("dilation", axis.dilation, 1),
        ("padding", axis.padding, 0),
        ("output_padding", axis.output_padding, 0),
    ):
        if not isinstance(value, str) and value < low:
            raise LamplighterError(f"output_size('{operation}', ...): {name} must be at least {low}, not {value}")
    if operation == "avg-pool" and axis.dilation != 1:
        raise LamplighterError("output_size: torch's average pools have no dilation")


def _check_mode(size: int, padding: int, axis: _Axis) -> None:
    """Padding that copies the input cannot take more than there is."""
    limit = {"reflect": size - 1, "circular": size}.get(axis.padding_mode)
    if limit is not None and padding > limit:
        raise LamplighterError(
            f"output_size: padding_mode '{axis.padding_mode}' of {size} positions pads {limit} at most, not {padding}"
        )
