"""Attention weights as pictures: for every head, which token looks at which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from lamplighter.core.errors import LamplighterError
from lamplighter.models.inspecting import grids

_MOST_NAMES = 40  # more would not be legible


def attention_maps(
    weights: Tensor, path: Path, queries: Sequence[str] = (), keys: Sequence[str] | None = None, title: str = ""
) -> Path:
    """Draw one tile for each head: a row for each query, a column for each key, dark where the weight is large.

    All tiles share one scale from 0 to the largest weight, written at the right. A weight says what was mixed in, not
    why the answer came out as it did.

    Args:
        weights: (heads, Lq, Lk) or (Lq, Lk); those of one row of a batch. `lamplighter.nn.attention.recorded_weights`
            collects (N, heads, Lq, Lk) of every layer of a network.
        path: file to write, ``.png`` or ``.svg``.
        queries: names of the tokens that look; none: numbers of positions.
        keys: names of the tokens that are looked at; None: the queries'.
        title: above the picture.

    Returns:
        ``path``.

    Raises:
        LamplighterError: the weights have another shape, or there are not as many names as positions.
    """
    heads = weights[None] if weights.dim() == 2 else weights
    if heads.dim() != 3 or 0 in heads.shape:
        raise LamplighterError(f"attention_maps takes weights (heads, Lq, Lk), not {tuple(weights.shape)}")
    looked_at = queries if keys is None else keys
    _check_names("queries", queries, heads.shape[1])
    _check_names("keys", looked_at, heads.shape[2])
    values = heads.detach().float().cpu().numpy()
    side = 0.16 * max(heads.shape[1:]) if queries or looked_at else 0.0
    figure, axes = grids.figure(len(values), max(1.8, side + 0.8), max(1.8, side + 0.8))
    image: Any = None
    for head, (axis, matrix) in enumerate(zip(axes, values)):
        image = axis.imshow(matrix, cmap="Blues", vmin=0, vmax=float(values.max()) or 1.0, interpolation="nearest")
        axis.set_title(f"head {head}", fontsize=8, pad=3)
        _name(axis.set_xticks, looked_at, rotation=90)
        _name(axis.set_yticks, queries, rotation=0)
        for edge in axis.spines.values():
            edge.set_visible(True)
            edge.set_linewidth(0.5)
    figure.supxlabel("looked at (key)", fontsize=8)
    figure.supylabel("looks (query)", fontsize=8)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=30)
    bar.set_label("weight", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    if title:
        figure.suptitle(title, fontsize=9)
    grids.save(figure, path)
    return path


def _name(set_ticks: object, names: Sequence[str], rotation: int) -> None:
    if names and callable(set_ticks):
        chosen = grids.spread(len(names), _MOST_NAMES)
        labels = [names[i].replace("$", r"\$") for i in chosen]  # a dollar would begin a formula
        set_ticks(list(chosen), labels, rotation=rotation, fontsize=7)


def _check_names(what: str, names: Sequence[str], length: int) -> None:
    if names and len(names) != length:
        raise LamplighterError(f"attention_maps: {len(names)} names of {what} for {length} positions")
