"""Which parameters shrink by weight decay and which do not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from lamplighter.core.errors import TrainingError

_NORMS = (
    nn.modules.batchnorm._NormBase,  # BatchNorm and InstanceNorm of every dimension, SyncBatchNorm
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)


def parameter_groups(module: nn.Module, named: Iterable[tuple[str, nn.Parameter]]) -> list[dict[str, Any]]:
    """Two parameter groups: matrices and kernels, then (with weight decay 0) biases, norms and other vectors.

    Decay pulls weights towards 0. A bias or the gain of a normalisation has no reason to be near 0, so decaying them
    hurts; everybody's reference recipes leave them out.

    Args:
        module: holds the layers, so that the parameters of normalisations can be told from others.
        named: the parameters an optimizer owns. Frozen ones (``requires_grad`` False) are left out.

    Raises:
        TrainingError: there is nothing to train.

    >>> layer = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    >>> [(len(g["params"]), g.get("weight_decay")) for g in parameter_groups(layer, layer.named_parameters())]
    [(1, None), (3, 0.0)]
    """
    norms = [layer for layer in module.modules() if isinstance(layer, _NORMS)]
    in_norms = {id(parameter) for layer in norms for parameter in layer.parameters(recurse=False)}
    trained = [parameter for _, parameter in named if parameter.requires_grad]
    if not trained:
        raise TrainingError("nothing to train: the network has no parameter with requires_grad")
    plain = [p for p in trained if p.dim() < 2 or id(p) in in_norms]
    decayed = [p for p in trained if not (p.dim() < 2 or id(p) in in_norms)]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
