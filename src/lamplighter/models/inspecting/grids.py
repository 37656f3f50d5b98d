"""Small pictures side by side, drawn by matplotlib into a PNG or SVG file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamplighter.core import extras, files
from lamplighter.core.errors import LamplighterError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE: dict[Any, Any] = {"font.size": 8, "svg.fonttype": "none", "svg.hashsalt": "lamplighter"}


def figure(tiles: int, width: float, height: float, columns: int | None = None) -> tuple[Figure, list[Any]]:
    """A figure with one pair of axes for each tile, without frames, nearly square as a whole.

    Args:
        tiles: how many.
        width, height: of a tile, in inches.
        columns: None chooses.
    """
    extras.require("matplotlib")
    from matplotlib.figure import Figure

    across = columns or max(1, math.ceil(math.sqrt(tiles * height / width)))
    down = math.ceil(tiles / across)
    drawn = Figure(figsize=(across * width + 0.4, down * height + 0.4), layout="constrained")
    axes = list(np.asarray(drawn.subplots(down, across, squeeze=False)).flat)
    for unused in axes[tiles:]:
        unused.set_axis_off()
    for used in axes[:tiles]:
        used.set_xticks([])
        used.set_yticks([])
        for side in used.spines.values():
            side.set_visible(False)
    return drawn, axes[:tiles]


def save(drawn: Figure, path: Path) -> None:
    """Write a figure, as its name's ending says: ``.png`` or ``.svg``. Whole or not at all.

    Raises:
        LamplighterError: another ending, or no such folder.
    """
    import matplotlib

    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise LamplighterError(f"{path}: a picture's name must end in .png or .svg")
    if not path.parent.is_dir():
        raise LamplighterError(f"{path}: the folder {path.parent} does not exist")
    metadata = {"Date": None} if kind == "svg" else {}
    with matplotlib.rc_context(_STYLE):
        files.write_with(path, lambda temporary: drawn.savefig(temporary, format=kind, dpi=150, metadata=metadata))


def stretched(values: np.ndarray) -> np.ndarray:
    """To 0 ... 1, the smallest and the largest number; one value alone becomes 0.5.

    >>> stretched(np.array([1.0, 2.0, 5.0]))
    array([0.  , 0.25, 1.  ])
    """
    low, high = float(np.min(values)), float(np.max(values))
    return np.full_like(values, 0.5) if high <= low else (values - low) / (high - low)


def spread(count: int, most: int) -> Sequence[int]:
    """At most ``most`` of ``count`` numbers, evenly spaced, first and last among them."""
    return range(count) if count <= most else [round(i * (count - 1) / (most - 1)) for i in range(most)]
