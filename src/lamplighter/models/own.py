"""A network that the caller made: what ``lamp.fit(model=my_module, ...)`` trains."""

from __future__ import annotations

from typing import Annotated

from torch import nn

from lamplighter.core.registry import FromData


def own(module: Annotated[nn.Module, FromData]) -> nn.Module:
    """The module itself, in a run that only the process that gave it can rebuild.

    Args:
        module: maps inputs (N, ...) to logits (N, classes) or values (N, targets). With a method ``forward_features``
            whose result is the input of its last layer, the bundle watches embeddings, too.
    """
    return module
