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
    "language-model": "lamplighter.bundle.runtime.kinds.language_model:LanguageModel",
    "masked-lm": "lamplighter.bundle.runtime.kinds.masked_lm:MaskedLM",
    "seq2seq": "lamplighter.bundle.runtime.kinds.seq2seq:Seq2Seq",
    "regression": "lamplighter.bundle.runtime.kinds.regression:Regression",
    "tagging": "lamplighter.bundle.runtime.kinds.tagging:Tagging",
    "segmentation": "lamplighter.bundle.runtime.kinds.segmentation:Segmentation",
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
