"""The blocks of a network in order, from the first layer to the head: what "deep" means to learning rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from torch import nn

NORMS = (
    nn.modules.batchnorm._NormBase,  # BatchNorm and InstanceNorm of every dimension, SyncBatchNorm
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)

EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_CONVOLUTIONS = nn.modules.conv._ConvNd


def blocks(module: nn.Module, parameters: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Parameters of each block, in the order in which the network's constructor made the layers.

    1. Modules around the network that hold nothing but it (a task around its model) are looked through.
    2. The network's children come one after the other. A ``Sequential``, ``ModuleList`` or ``ModuleDict`` is opened:
       its items come one after the other. So is a child, the only one of its class among its siblings, that holds a
       container of at least two layers (an encoder with its layers). Everything else is one block, whatever is inside.
    3. Norms, and whatever else has only vectors, go with the block before them; so do parameters that a module holds
       itself (a class token, positions). Before the first block they go with it.
    4. A layer whose parameters all came before (a head tied to the embedding) is a block without parameters.

    Args:
        module: the network, or a module around it.
        parameters: those to place; layers without any of them are not there.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.ReLU(), nn.Linear(3, 3), nn.Linear(3, 1))
    >>> [[tuple(p.shape) for p in block] for block in blocks(net, net.parameters())]
    [[(3, 2), (3,), (3,), (3,)], [(3, 3), (3,)], [(1, 3), (1,)]]
    """
    wanted = {id(parameter) for parameter in parameters}
    walk = _Walk(wanted)
    walk.open([*_inwards(module, wanted)][-1][1])
    return walk.found or ([walk.early] if walk.early else [])


def hidden_weights(module: nn.Module, parameters: Iterable[nn.Parameter]) -> set[int]:
    """Ids of the matrices and convolution kernels of all blocks but the last; neither embeddings nor norms.

    Args:
        module: the network, or a module around it.
        parameters: those an optimizer owns; they make one network.
    """
    parameters = list(parameters)
    shapes: dict[int, bool] = {}
    for layer in module.modules():
        special = isinstance(layer, NORMS + EMBEDDINGS)
        for parameter in layer.parameters(recurse=False):
            fits = parameter.dim() == 2 or (parameter.dim() > 2 and isinstance(layer, _CONVOLUTIONS))
            shapes[id(parameter)] = shapes.get(id(parameter), True) and fits and not special
    return {id(parameter) for block in blocks(module, parameters)[:-1] for parameter in block if shapes[id(parameter)]}


def head(module: nn.Module, parameters: Iterable[nn.Parameter]) -> set[int]:
    """Ids of the parameters of the last block.

    Args:
        module: the network, or a module around it.
        parameters: those an optimizer owns; they make one network.
    """
    return {id(parameter) for block in blocks(module, parameters)[-1:] for parameter in block}


def outer_names(module: nn.Module, parameters: Iterable[nn.Parameter]) -> list[str]:
    """Dotted names of the modules around the network and of itself, each with a dot at its end; the first is empty.

    >>> wrapped = nn.ModuleDict({"model": nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))})
    >>> outer_names(wrapped, wrapped.parameters())
    ['', 'model.']
    """
    return [name for name, _ in _inwards(module, {id(parameter) for parameter in parameters})]


class _Walk:
    """Collects blocks while modules are opened one inside the other."""

    def __init__(self, wanted: set[int]) -> None:
        self.wanted = wanted
        self.placed: set[int] = set()
        self.early: list[nn.Parameter] = []
        self.found: list[list[nn.Parameter]] = []

    def open(self, module: nn.Module) -> None:
        self._join(self._new(module.parameters(recurse=False)))
        children = [child for child in module.children() if any(id(p) in self.wanted for p in child.parameters())]
        same = Counter(type(child) for child in children)
        for child in children:
            if isinstance(child, _CONTAINERS) or (same[type(child)] == 1 and _holds_a_stack(child)):
                self.open(child)
            elif isinstance(child, NORMS) or all(p.dim() < 2 for p in child.parameters()):
                self._join(self._new(child.parameters()))
            else:
                self.found.append([*self.early, *self._new(child.parameters())])
                self.early = []

    def _join(self, parameters: list[nn.Parameter]) -> None:
        (self.found[-1] if self.found else self.early).extend(parameters)

    def _new(self, parameters: Iterator[nn.Parameter]) -> list[nn.Parameter]:
        new = [p for p in parameters if id(p) in self.wanted and id(p) not in self.placed]
        self.placed.update(id(p) for p in new)
        return new


def _inwards(module: nn.Module, wanted: set[int]) -> Iterator[tuple[str, nn.Module]]:
    """The module, what it holds when it holds nothing else, and so on, with names; the last one is the network."""
    name = ""
    while True:
        yield name, module
        own = any(id(p) in wanted for p in module.parameters(recurse=False))
        inside = [pair for pair in module.named_children() if any(id(p) in wanted for p in pair[1].parameters())]
        if own or len(inside) != 1:
            return
        name, module = f"{name}{inside[0][0]}.", inside[0][1]


def _holds_a_stack(module: nn.Module) -> bool:
    """Whether a container of at least two layers with matrices is somewhere inside."""
    for layer in module.modules():
        if isinstance(layer, _CONTAINERS):
            items = [item for item in layer.children() if any(p.dim() > 1 for p in item.parameters())]
            if len(items) > 1:
                return True
    return False
