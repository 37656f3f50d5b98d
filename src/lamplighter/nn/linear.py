"""A stack of linear layers is one linear layer: this computes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn


def collapse(layers: nn.Module | Iterable[nn.Module]) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one linear layer that equals a stack: W = W_n ... W_1, b = W_n (... b_1 ...) + b_n.

    Without a non-linear function in between depth adds nothing: this is the proof, and the way to make such a stack
    small (a low-rank pair of layers back into one, for instance). Computed in float64.

    Args:
        layers: a ``Sequential`` or other iterable of ``Linear`` and ``Identity`` layers, also nested.

    Returns:
        W (out, in) and b (out,), of the type of the first weight.

    Raises:
        ValueError: a layer is not linear, two do not fit together, or there is none; the layer is named.

    >>> W, b = collapse(nn.Sequential(nn.Linear(3, 100), nn.Linear(100, 2)))
    >>> W.shape, b.shape
    (torch.Size([2, 3]), torch.Size([2]))
    """
    total_W: Tensor | None = None
    total_b = torch.zeros(())
    kind = torch.float32
    before = ""
    for name, layer in _flat(layers):
        if isinstance(layer, nn.Identity):
            continue
        if not isinstance(layer, nn.Linear):
            raise ValueError(f"layer '{name}' is no linear layer but {layer}; only a stack without others collapses")
        W, b = layer.weight.detach().double(), _bias(layer)
        if total_W is None:
            total_W, total_b, kind = W, b, layer.weight.dtype
        elif W.shape[1] != total_W.shape[0]:
            raise ValueError(
                f"layer '{name}' takes {W.shape[1]} numbers, but layer '{before}' gives {total_W.shape[0]}"
            )
        else:
            total_W, total_b = W @ total_W, W @ total_b + b
        before = name
    if total_W is None:
        raise ValueError("there is no linear layer to collapse")
    return total_W.to(kind), total_b.to(kind)


def _bias(layer: nn.Linear) -> Tensor:
    if layer.bias is None:
        return torch.zeros(layer.out_features, dtype=torch.float64)
    return layer.bias.detach().double()


def _flat(layers: nn.Module | Iterable[nn.Module], prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Every layer that is not itself a ``Sequential``, with its path."""
    if isinstance(layers, nn.Module) and not isinstance(layers, nn.Sequential | nn.ModuleList):
        yield prefix.rstrip(".") or "0", layers
        return
    children = layers.named_children() if isinstance(layers, nn.Module) else ((str(i), m) for i, m in enumerate(layers))
    for name, child in children:
        yield from _flat(child, f"{prefix}{name}.")
