"""Units that never react: a ReLU that is always off, or a sigmoid that is always at its end, passes no gradient on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from lamplighter.data.source import Batch
from lamplighter.tasks.base import Task
from lamplighter.train.diagnostics.phases import phases
from lamplighter.train.undisturbed import task_undisturbed

FLAT = 1e-3
"""A unit whose slope is below this for every row of the sample is dead."""

_NAMES = (
    "relu relu_ relu6 leaky_relu leaky_relu_ elu elu_ selu selu_ celu celu_ gelu silu mish prelu rrelu rrelu_ "
    "hardtanh hardtanh_ hardswish hardsigmoid sigmoid sigmoid_ tanh tanh_ softplus softsign logsigmoid threshold"
)
_ACTIVATIONS: dict[Callable[..., Any], str] = {
    function: name.rstrip("_")
    for name in _NAMES.split()
    for home in (F, torch, Tensor)
    if (function := getattr(home, name, None)) is not None
}
_CHANNELS_SECOND = {
    *(F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d),
    *(F.batch_norm, F.group_norm, F.instance_norm),
}
_CHANNELS_LAST = {F.linear, F.layer_norm, F.rms_norm, torch.matmul, Tensor.matmul}


@dataclass(frozen=True)
class DeadUnits:
    """The units of one activation.

    Attributes:
        layer: dotted name of the module that computed it, with the call where a module computes it more than once.
        function: ``relu``, ``sigmoid``, ...
        units: features, or channels of images.
        dead: how many of them had no slope for any row of the sample.
        flat: share of all its values, over rows and units, without slope. About half is healthy for ReLU.
    """

    layer: str
    function: str
    units: int
    dead: int
    flat: float

    @property
    def share(self) -> float:
        """Dead units over units."""
        return self.dead / self.units

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "share": self.share}


def dead_units(
    task: Task, batches: Iterable[Batch], *, autocast: contextlib.AbstractContextManager[Any] | None = None
) -> list[DeadUnits]:
    """Watch every activation while the task computes its losses in training mode. The task is left as it was.

    Seen are the activation functions of torch, called by a module (``nn.ReLU``) or as a function (``F.relu``,
    ``x.relu()``); not those inside fused recurrent kernels. A unit is dead when the derivative of its activation is
    below `FLAT` for all rows: no gradient reaches the weights before it, so training cannot wake it up.

    Args:
        task: on the batches' device, not compiled.
        batches: a sample of the training rows; a unit that fires for one row in a thousand needs thousands.
        autocast: the precision of the forward pass; None for that of the weights.

    Returns:
        One entry for each activation, in the order in which they compute.
    """
    watch = _Watch()
    with task_undisturbed(task, parameters=False), _names_of_calls(task, watch.inside):
        task.train()
        for batch in batches:
            watch.calls.clear()
            with watch:
                for _ in phases(task, batch, autocast):
                    pass
    return [
        DeadUnits(layer, function, len(slope), int((slope < FLAT).sum()), flat / values)
        for (layer, function), (slope, flat, values) in watch.seen.items()
    ]


class _Watch(TorchFunctionMode):
    """Sees every torch function that is called, and keeps the largest slope of each unit of each activation."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.calls: dict[str, int] = {}
        self.seen: dict[tuple[str, str], tuple[Tensor, int, int]] = {}
        self.channels = 1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _CHANNELS_SECOND:
            self.channels = 1
        elif func in _CHANNELS_LAST:
            self.channels = -1
        elif func in _ACTIVATIONS and args and isinstance(args[0], Tensor) and args[0].dim() >= 2:
            self._look(func, args, kwargs)
        return func(*args, **kwargs)

    def _look(self, function: Any, args: Any, kwargs: Any) -> None:
        leaf = args[0].detach().clone().requires_grad_()
        with torch.enable_grad():
            result = function(leaf.clone(), *args[1:], **kwargs)  # of a copy: some change their input
            (slope,) = torch.autograd.grad(result.sum(), leaf)
        by_unit = slope.abs().movedim(self.channels if slope.dim() > 2 else 1, 0).flatten(1)
        name, kind = self.inside[-1] if self.inside else "", _ACTIVATIONS[function]
        call = self.calls[name] = self.calls.get(name, 0) + 1
        key = (name if call == 1 else f"{name} (call {call})", kind)
        largest, flat, values = self.seen.get(key, (torch.zeros_like(by_unit[:, 0]), 0, 0))
        largest = torch.maximum(largest, by_unit.amax(dim=1))
        self.seen[key] = (largest, flat + int((by_unit < FLAT).sum()), values + by_unit.numel())


@contextlib.contextmanager
def _names_of_calls(task: nn.Module, inside: list[str]) -> Iterator[None]:
    """While a module computes, its name stands at the end of ``inside``."""

    def leave() -> None:
        inside.pop()

    hooks = []
    for name, module in task.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda _m, _x, name=name: inside.append(name)))
        hooks.append(module.register_forward_hook(lambda _m, _x, _y: leave(), always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
