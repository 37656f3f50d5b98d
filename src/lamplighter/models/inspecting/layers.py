"""Follows a network's forward pass layer by layer: which module runs inside which, and where an error comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lamplighter.core.errors import LamplighterError

Input = Any
"""What a network is called with: a tensor, a tuple of them (in order), or a dict (by name)."""


class LayerError(LamplighterError):
    """A forward pass failed; the message names the layer, what it got, and why."""


@dataclass
class Call:
    """One module at work.

    Attributes:
        path: its name in ``named_modules``; "" for the whole network.
        module: itself.
        given: tensors it was called with, positional and by name.
    """

    path: str
    module: nn.Module
    given: list[Tensor]


class LayerStack:
    """Modules that are running, outermost first.

    Args:
        model: the network.
        entered, left: told of each call; ``left`` also gets the tensors that came out.
    """

    def __init__(
        self,
        model: nn.Module,
        entered: Callable[[Call], None] | None = None,
        left: Callable[[Call, list[Tensor]], None] | None = None,
    ) -> None:
        self.model = model
        self.calls: list[Call] = []
        self._entered = entered
        self._left = left

    @property
    def path(self) -> str:
        """Of the innermost module that runs."""
        return self.calls[-1].path if self.calls else ""

    @contextmanager
    def following(self) -> Iterator[LayerStack]:
        """Keeps the stack up to date within the block, and turns an error of a forward pass into one that names the
        layer.

        Raises:
            LayerError: instead of torch's own errors and ``ValueError``, ``TypeError``, ``IndexError``.
        """
        handles = []
        for path, module in self.model.named_modules():  # a shared module has its first name
            handles.append(module.register_forward_pre_hook(self._pre_hook(path), with_kwargs=True))
            handles.append(module.register_forward_hook(self._post_hook(), with_kwargs=True))
        try:
            yield self
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            if not self.calls:
                raise
            raise LayerError(explained(self.calls[-1], error)) from error
        finally:
            for handle in handles:
                handle.remove()

    def _pre_hook(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            call = Call(path, module, [*tensors_in(args), *tensors_in(kwargs)])
            self.calls.append(call)
            if self._entered:
                self._entered(call)

        return hook

    def _post_hook(self) -> Callable[[nn.Module, Any, Any, Any], None]:
        def hook(_module: nn.Module, _args: Any, _kwargs: Any, output: Any) -> None:
            call = self.calls.pop()
            if self._left:
                self._left(call, tensors_in(output))

        return hook


def run(model: nn.Module, input: Input) -> Any:
    """Call a network with a tensor, a tuple or a dict."""
    if isinstance(input, dict):
        return model(**input)
    return model(*input) if isinstance(input, tuple | list) else model(input)


def explained(call: Call, error: Exception) -> str:
    """``layer 'head' (Linear(...)) got (2, 5): what torch said``."""
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in call.given) or "no tensor"
    name = f"layer '{call.path}'" if call.path else "the network"
    kind = repr(call.module) if not list(call.module.children()) else type(call.module).__name__
    return f"{name} ({kind}) got {shapes}: {error}"


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists, dicts and dataclass-like outputs, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [tensor for item in value for tensor in tensors_in(item)]
    return []
