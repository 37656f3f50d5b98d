"""What a task hands to the bundle: a plain network and the names of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

AnswerKind = Literal[
    "classification", "regression", "segmentation", "tagging", "language-model", "masked-lm", "seq2seq"
]


@dataclass(frozen=True)
class ExportSpec:
    """A network ready to be exported.

    Attributes:
        module: ``torch.nn.Module`` in eval mode, float32, on the CPU. ``forward`` takes the tensors of
            ``signature.tensors`` in order and returns a tuple in the order of ``outputs``.
        kind: how the numpy runtime turns outputs into answers.
        outputs: names. The first is what the kind says: ``"logits"`` (N, classes) for classification, ``"value"``
            (N, targets), in the target's own units, for regression. ``"embedding"`` (N, D), the input of the last
            layer, follows when the network has one.
        settings: plain data the kind needs to make answers, kept in the manifest.
    """

    module: Any
    kind: AnswerKind
    outputs: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
