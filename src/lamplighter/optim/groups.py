"""Which parameters shrink by weight decay, and which learn at another rate: the groups an optimizer is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from lamplighter.core.errors import TrainingError
from lamplighter.core.recipe import Rate
from lamplighter.core.registry import did_you_mean
from lamplighter.optim.blocks import EMBEDDINGS, NORMS, blocks, outer_names


def parameter_groups(
    module: nn.Module,
    named: Iterable[tuple[str, nn.Parameter]],
    layer_decay: float = 1.0,
    rates: Sequence[Rate] = (),
) -> list[dict[str, Any]]:
    """Parameter groups: of each learning rate, matrices and kernels, then those with weight decay 0.

    Decay pulls weights towards 0. A bias or the gain of a normalisation has no reason to be near 0, so decaying them
    hurts; everybody's reference recipes leave them out. Tables of embeddings are left out too: a row gets a gradient
    only when its token occurs, but would shrink in every step, rare tokens most of all against what they learn. A
    module can leave out more: ``no_weight_decay()``, as in timm, returns names of its parameters.

    With ``layer_decay`` d, a block that is k blocks away from the head learns at the rate d^k (Clark et al. 2020,
    "ELECTRA"; what a block is, `lamplighter.optim.blocks` says). An entry of ``rates`` multiplies the rate of the
    parameters whose dotted name is, or begins with, its ``match``: from the module given (``model.stem``) or from the
    network inside it (``stem``). Of several that match, the longest counts. `apply_rates` puts both into effect.

    Args:
        module: holds the layers, so that the parameters of normalisations can be told from others.
        named: the parameters an optimizer owns. Frozen ones (``requires_grad`` False) are left out.
        layer_decay: rate of a block as a share of the next one's.
        rates: rates of their own for parts of the network.

    Returns:
        Groups as torch's optimizers take them. ``lr_factor`` is the group's rate as a multiple of the optimizer's.

    Raises:
        TrainingError: there is nothing to train, or an entry of ``rates`` matches no parameter.

    >>> layer = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))
    >>> groups = parameter_groups(layer, layer.named_parameters(), layer_decay=0.5)
    >>> [(len(g["params"]), g.get("weight_decay"), g["lr_factor"]) for g in groups]
    [(1, None, 0.5), (3, 0.0, 0.5), (1, None, 1.0), (1, 0.0, 1.0)]
    """
    trained = [(name, parameter) for name, parameter in named if parameter.requires_grad]
    if not trained:
        raise TrainingError("nothing to train: the network has no parameter with requires_grad")
    _check(rates, module)
    parameters = [parameter for _, parameter in trained]
    kept = _without_decay(module)
    distance = _distances(module, parameters) if layer_decay != 1 else {}
    prefixes = outer_names(module, module.parameters()) if rates else []
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in trained:
        factor = layer_decay ** distance.get(id(parameter), 0) * _factor(name, prefixes, rates)
        plain = parameter.dim() < 2 or id(parameter) in kept
        group = groups.setdefault((factor, plain), {"params": [], "lr_factor": factor})
        group["params"].append(parameter)
        if plain:
            group["weight_decay"] = 0.0
    order = list(dict.fromkeys(factor for factor, _ in groups))
    return [groups[factor, plain] for factor in order for plain in (False, True) if (factor, plain) in groups]


def apply_rates(optimizer: torch.optim.Optimizer) -> None:
    """Multiply the learning rate of each group by its ``lr_factor``, once: a second call changes nothing.

    Args:
        optimizer: fresh, before a schedule looks at its rates.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    >>> groups = parameter_groups(net, net.named_parameters(), rates=[Rate(match="0", factor=0.1)])
    >>> optimizer = torch.optim.SGD(groups, lr=1.0)
    >>> apply_rates(optimizer)
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.1, 0.1, 1.0, 1.0]
    """
    for group in optimizer.param_groups:
        group["lr"] *= group.pop("lr_factor", 1.0)


def _without_decay(module: nn.Module) -> set[int]:
    """Ids of parameters of norms and embeddings, and of those that a module names in ``no_weight_decay()``."""
    ids: set[int] = set()
    for layer in module.modules():
        if isinstance(layer, NORMS + EMBEDDINGS):
            ids.update(id(parameter) for parameter in layer.parameters(recurse=False))
        named = getattr(layer, "no_weight_decay", None)
        if callable(named):
            ids.update(id(layer.get_parameter(name)) for name in named())
    return ids


def _distances(module: nn.Module, parameters: list[nn.Parameter]) -> dict[int, int]:
    """Id of each parameter -> blocks between its own and the last."""
    found = blocks(module, parameters)
    return {id(p): len(found) - 1 - position for position, block in enumerate(found) for p in block}


def _factor(name: str, prefixes: list[str], rates: Sequence[Rate]) -> float:
    matching = [rate for rate in rates if any(_begins(name, prefix + rate.match) for prefix in prefixes)]
    return max(matching, key=lambda rate: len(rate.match)).factor if matching else 1.0


def _begins(name: str, start: str) -> bool:
    return name == start or name.startswith(start + ".")


def _check(rates: Sequence[Rate], module: nn.Module) -> None:
    """Every entry matches something; nothing is named twice."""
    if not rates:
        return
    names = [name for name, _ in module.named_parameters()]
    prefixes = outer_names(module, module.parameters())
    relative = [name.removeprefix(prefix) for prefix in prefixes for name in names if name.startswith(prefix)]
    parts = {".".join(name.split(".")[: i + 1]) for name in relative for i in range(name.count(".") + 1)}
    for position, rate in enumerate(rates):
        if rate.match not in parts:
            top = dict.fromkeys(name.removeprefix(prefixes[-1]).split(".")[0] for name in names)
            hint = did_you_mean(rate.match, sorted(parts))
            raise TrainingError(
                f"train.rates.{position}.match: no parameter's name begins with '{rate.match}'{hint}; "
                f"the network has {', '.join(top)}"
            )
        if rate.match in [other.match for other in rates[:position]]:
            raise TrainingError(f"train.rates.{position}.match: '{rate.match}' has a rate already")
