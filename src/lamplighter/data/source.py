"""What a data source must offer."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from torch import Tensor

from lamplighter.core.signature import Signature
from lamplighter.data.preprocessing.pipeline import Pipeline
from lamplighter.data.splits import Splits

Batch = dict[str, Tensor]
"""Tensors by name, first dimension rows. Sources name the input tensors as their signature does, and the target ``y``:
int64 class indices (N,) with -1 for a blank, or float32 (N, targets) with NaN for a blank."""


class Rows(Protocol):
    """Rows of one split."""

    def __len__(self) -> int: ...

    def fetch(self, indices: np.ndarray) -> Batch:
        """One gather for a whole batch: int64 positions within the split -> tensors."""
        ...


class Source(Protocol):
    """A data set with its splits.

    Constructor parameters are the recipe's ``data`` keys; ``seed: Annotated[int, FromData]`` and
    ``splits: Annotated[Splits | None, FromData] = None`` (a persisted split to use again) come from the run.

    A source may also offer ``statistics() -> {"x": (mean, std)}`` for each channel of an image (the first layer of the
    network then normalises), ``target_statistics() -> (mean, std)`` for numeric targets (they are learned in standard
    units), all fitted on the training split, and ``notes: list[str]``, lines a person should read before training.
    ``split_keys`` (`lamplighter.data.split_rules.SplitKeys`) says what cross-validation must respect when it divides
    the rows anew; without it, classes are kept in proportion. ``columns() -> dict[str, array]`` gives a table's inputs,
    all rows, to `lamplighter.data.leakage`.

    Attributes:
        signature: what goes in and what is predicted.
        preprocessing: raw row -> tensors, fitted on the training split only.
        splits: which rows of the data set belong to which split.
    """

    signature: Signature
    preprocessing: Pipeline
    splits: Splits

    def split(self, name: str) -> Rows:
        """Rows of ``"train"``, ``"val"`` or ``"test"``."""
        ...

    def raw(self, name: str, indices: np.ndarray) -> list[Any]:
        """Rows as a client would send them: dicts, image paths or arrays (height, width[, channels])."""
        ...

    def resolved(self) -> dict[str, Any]:
        """Constructor parameters decided from the data (column types, delimiter, ...), for the resolved recipe."""
        ...
