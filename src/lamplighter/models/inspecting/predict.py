"""A network's answer, and nothing else: no graph, no changed mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lamplighter.models.inspecting.layers import LayerStack


def predict(model: nn.Module, *inputs: Any, **named: Any) -> Any:
    """Run a network for its output alone: in eval mode, without recording a graph.

    Afterwards every submodule is in the mode it was in before, also when the forward pass failed: a batch norm that was
    frozen in eval mode inside a training network stays frozen.

    Args:
        model: the network.
        *inputs: what it takes.
        **named: likewise, by name.

    Returns:
        What the network returns.

    Raises:
        LayerError: the forward pass failed; the layer is named, with the shapes it got.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    >>> predict(net, torch.zeros(1, 2)).requires_grad, net.training
    (False, True)
    """
    with evaluating(model), torch.no_grad():
        try:
            return model(*inputs, **named)
        except (RuntimeError, ValueError, TypeError, IndexError):
            with LayerStack(model).following():  # once more, to find out where
                return model(*inputs, **named)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode within the block; afterwards each submodule has its own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
