"""How a bundle answers, one kind of answer a file: from the network's outputs to what a client reads. No torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from lamplighter.bundle.runtime.kinds.base import Kind

if TYPE_CHECKING:
    from lamplighter.bundle.manifest import Output
    from lamplighter.data.preprocessing.pipeline import Pipeline

_KINDS = {
    "classification": "lamplighter.bundle.runtime.kinds.classification:Classification",
    "regression": "lamplighter.bundle.runtime.kinds.regression:Regression",
}


def of(output: Output, pipeline: Pipeline | None = None) -> Kind:
    """The kind that an output names.

    Args:
        output: ``Manifest.output``.
        pipeline: the model's preprocessing, for kinds that write texts; the monitor, which only reads records, has
            none.

    Raises:
        BundleError: the output lacks what its kind needs.
    """
    module, _, name = _KINDS[output.kind].partition(":")
    kind: Kind = getattr(importlib.import_module(module), name)(output, pipeline)
    return kind


def first_output(name: str) -> str:
    """Name of the network's first output."""
    module, _, attribute = _KINDS[name].partition(":")
    first: str = getattr(importlib.import_module(module), attribute).first
    return first
