"""A running average of a network's weights, and its exchange for the weights that are being trained."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from lamplighter.core.errors import RunError
from lamplighter.train import batchnorm
from lamplighter.train.checkpoint import spread_like


class WeightAverage:
    """avg <- avg + w (value - avg) for each parameter; the first update copies.

    With w = 1 - decay it is an exponential moving average, with w = 1 / n the plain mean of n updates. Averages are
    kept in float32 where the parameter has 16 bits: there a step of 0.001 would be rounded away. One foreach operation
    updates all of them.

    Buffers are no parameters: constants (input scaling, position tables) have no average, and counters have none
    either. Running statistics of batch normalisation can be averaged along; all other buffers stay the network's own.

    Args:
        module: its parameters are followed; must not get other ones later.
        batch_norm: whether running means and variances of batch normalisation are averaged, too.

    Attributes:
        count: updates so far.

    >>> layer = nn.Linear(1, 1, bias=False)
    >>> average = WeightAverage(layer)
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = nn.init.constant_(layer.weight, value)
    ...     average.update(1 / (average.count + 1))
    >>> with average.applied():
    ...     judged = layer.weight.item()
    >>> judged, layer.weight.item()
    (3.0, 6.0)
    """

    def __init__(self, module: nn.Module, batch_norm: bool = False) -> None:
        followed = {
            name: parameter.detach() for name, parameter in module.named_parameters() if _has_average(parameter)
        }
        if batch_norm:
            followed |= batchnorm.statistics(module)
        self.names = list(followed)
        self.values = list(followed.values())
        self.averages: list[Tensor] = []
        self.count = 0

    def update(self, weight: float) -> None:
        """Move the averages towards the current values.

        Args:
            weight: from 0 (stay) to 1 (become the current values); of no matter at the first update.
        """
        with torch.no_grad():
            if self.averages:
                values = [value.to(average.dtype) for value, average in zip(self.values, self.averages)]
                torch._foreach_lerp_(parts(self.averages), parts(values), weight)
            else:
                self.averages = [_start(value) for value in self.values]
                torch._foreach_copy_(parts(self.averages), parts(self.values))
        self.count += 1

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the network has the averages in place of its own values (which it has back afterwards, bit for bit);
        before the first update it keeps its own."""
        if not self.averages:
            yield
            return
        own = [value.clone() for value in self.values]
        try:
            with torch.no_grad():
                torch._foreach_copy_(parts(self.values), parts(self.averages))
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(parts(self.values), parts(own))

    def state_dict(self) -> dict[str, Any]:
        """The number of updates and the live averages by name."""
        return {"count": self.count, "averages": dict(zip(self.names, self.averages))}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over copies of what `state_dict` gave, on the device and in the memory layout of the network.

        Raises:
            RunError: they belong to another network.
        """
        saved = state["averages"]
        if saved and (
            [*saved] != self.names or any(saved[n].shape != v.shape for n, v in zip(self.names, self.values))
        ):
            raise RunError("the averaged weights of the checkpoint belong to another network")
        self.count = state["count"]
        self.averages = [
            _start(value).copy_(spread_like(saved[name], value))
            for name, value in zip(self.names, self.values)
            if saved
        ]


def parts(tensors: list[Tensor]) -> list[Tensor]:
    """This process's parts of tensors that are spread over processes, others as they are; the memory is the same."""
    if all(type(tensor) in (Tensor, nn.Parameter) for tensor in tensors):
        return tensors
    return [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]


def _has_average(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _start(value: Tensor) -> Tensor:
    """Room for an average: in the memory layout of the value, with at least 32 bits."""
    half = value.dtype in (torch.float16, torch.bfloat16)
    return torch.empty_like(value, dtype=torch.float32 if half else value.dtype)
