"""From what a client sends to what the network takes; the one code that training and serving both run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from lamplighter.core import registry

Tensors = dict[str, np.ndarray]


class Step(Protocol):
    """One preprocessing step: a catalog component of kind ``preprocess`` whose parameters are JSON.

    ``__call__`` takes the list of rows, or what the step before made of them; the last step returns `Tensors`.
    A row that does not fit raises ``InputError(message, row=i, field=...)``.
    """

    def __call__(self, rows: Any) -> Any: ...


class Pipeline:
    """An ordered list of steps, given as ``{"name": ..., **parameters}`` dicts, which is also how bundles store it.

    Args:
        steps: the first takes raw rows; the last returns a dict of arrays, first dimension rows. Arrays beyond those of
            the signature are not given to the network; they help to make answers of its outputs.
        assets: files that steps read (a tokenizer), contents by name; a step that needs one has a parameter
            ``assets: Annotated[Mapping[str, bytes], FromData]``. They travel in the bundle.
    """

    def __init__(self, steps: Sequence[dict[str, Any]], assets: Mapping[str, bytes] | None = None) -> None:
        self.specs = [dict(step) for step in steps]
        self.assets = dict(assets or {})
        self.steps: list[Step] = [
            registry.build(
                "preprocess", spec["name"], {k: v for k, v in spec.items() if k != "name"}, {"assets": self.assets}
            )
            for spec in self.specs
        ]

    def __call__(self, rows: Sequence[Any]) -> Tensors:
        """Tensors of raw rows.

        Args:
            rows: dicts for tables; encoded bytes, paths or arrays (height, width[, channels]) for images.

        Raises:
            InputError: names row and field.
        """
        value: Any = list(rows)
        for step in self.steps:
            value = step(value)
        tensors: Tensors = value
        return tensors


def own_sizes(steps: Sequence[Any], tensors: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """(rows, 2) how much of ``x`` is the image itself; None where all of it is.

    Args:
        steps: of the model's preprocessing.
        tensors: what they made of some rows.
    """
    return tensors["original_size"] if any(getattr(step, "keeps_sizes", False) for step in steps) else None
