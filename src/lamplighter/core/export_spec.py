"""What a task hands to the bundle: a plain network and the names of its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class ExportSpec:
    """A network ready to be exported.

    Attributes:
        module: ``torch.nn.Module`` in eval mode, float32, on the CPU. ``forward`` takes the tensors of
            ``signature.tensors`` in order and returns a tuple in the order of ``outputs``.
        kind: how the numpy runtime turns outputs into answers.
        outputs: names. The first is ``"logits"`` (N, classes) for classification or ``"value"`` (N, targets), in the
            target's own units, for regression. ``"embedding"`` (N, D), the input of the last layer, follows when the
            network has ``forward_features``.
    """

    module: Any
    kind: Literal["classification", "regression"]
    outputs: tuple[str, ...]
