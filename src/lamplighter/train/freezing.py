"""Frozen blocks: parameters that do not learn, and running statistics that do not drift."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import MethodType

from torch import Tensor, nn

from lamplighter.core.errors import TrainingError
from lamplighter.core.registry import did_you_mean
from lamplighter.models.weights.loading import head_of
from lamplighter.optim import blocks as order
from lamplighter.tasks.base import Task

HEAD = "head"
"""As ``up_to``: all blocks below the head."""


@dataclass(frozen=True)
class Block:
    """A part of a network that is frozen or learns as a whole.

    Attributes:
        name: of its first module, counted from the network.
        modules: with everything in them.
        own: parameters that belong to none of the modules, such as a class token.
    """

    name: str
    modules: tuple[nn.Module, ...]
    own: tuple[nn.Parameter, ...] = ()

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters, each once."""
        inside = [parameter for module in self.modules for parameter in module.parameters()]
        yield from dict.fromkeys([*self.own, *inside])

    def buffers(self) -> Iterator[Tensor]:
        """All buffers, such as running statistics."""
        yield from dict.fromkeys(buffer for module in self.modules for buffer in module.buffers())


class Frozen:
    """Modules and parameters that are frozen until `release`.

    A frozen module is a fixed function: its parameters get no gradient (so no optimizer moves them, by weight decay
    neither), and it stays in eval mode whatever ``train()`` is called on it or around it. Without the second, the
    running statistics of a "frozen" BatchNorm drift with every batch, and its outputs with them. Dropout in it is off.

    Args:
        blocks: what to freeze. What is frozen already is left to whoever froze it.
    """

    def __init__(self, blocks: Iterable[Block]) -> None:
        blocks = list(blocks)
        self._parameters = [p for block in blocks for p in block.parameters() if p.requires_grad]
        inside = dict.fromkeys(inner for block in blocks for module in block.modules for inner in module.modules())
        self._modules = [module for module in inside if not is_frozen(module)]
        for parameter in self._parameters:
            parameter.requires_grad_(False)
            parameter.grad = None
        for module in self._modules:
            module.training = False
            module.__dict__["train"] = MethodType(_stay, module)

    def release(self, training: bool = True) -> None:
        """Let it learn again.

        Args:
            training: whether the modules go into train mode.
        """
        for parameter in self._parameters:
            parameter.requires_grad_(True)
        for module in self._modules:
            module.__dict__.pop("train", None)
            module.training = training
        self._parameters, self._modules = [], []


def is_frozen(module: nn.Module) -> bool:
    """Whether a module is held in eval mode."""
    return module.__dict__.get("train") is not None and not module.training


def _stay(module: nn.Module, mode: bool = True) -> nn.Module:  # noqa: ARG001
    """Takes the place of ``train`` on a frozen module."""
    return module


def freeze(model: nn.Module, up_to: int | str) -> Frozen:
    """Freeze the first blocks of a network.

    Args:
        model: a network, or a task around it.
        up_to: see `first`.

    Raises:
        TrainingError: the network has no such block; lists those it has.

    >>> from lamplighter import models
    >>> model = models.create("cnn", in_channels=1, num_classes=10)
    >>> frozen = freeze(model, "stem")
    >>> model.train().stem.training, model.stages.training, model.stem.conv.weight.requires_grad
    (False, True, False)
    >>> frozen.release(); model.stem.training, model.stem.conv.weight.requires_grad
    (True, True)
    """
    return Frozen(first(model, up_to))


def blocks(model: nn.Module) -> list[Block]:
    """The blocks below the head, from the input upwards: those that ``train.layer_decay`` counts in, too.

    Args:
        model: a network, or a task around it. `lamplighter.optim.blocks` says what its blocks are.

    >>> from lamplighter import models
    >>> [block.name for block in blocks(models.create("cnn", in_channels=1, num_classes=10))]
    ['stem', 'stages.0', 'stages.1']
    >>> [block.name for block in blocks(models.create("resnet18", in_channels=3, num_classes=10))][:4]
    ['conv1', 'layer1.0', 'layer1.1', 'layer2.0']
    """
    network = _network(model)
    found = order.blocks(network, network.parameters())
    number = {id(parameter): i for i, block in enumerate(found) for parameter in block}
    modules: list[dict[str, nn.Module]] = [{} for _ in found]
    latest, waiting = 0, {}  # type: int, dict[str, nn.Module]
    for name, module in network.named_modules():
        inside = {number[id(p)] for p in module.parameters()}
        opened = not name or len(inside) > 1 or isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)
        if opened or any(_is_in(name, outer) for block in modules for outer in block):
            continue
        if inside:
            latest = inside.pop()
            modules[latest] |= {**waiting, name: module}
            waiting = {}
        elif any(True for _ in module.buffers()):
            modules[latest][name] = module  # statistics of what came before
        elif not any(_is_in(name, outer) for outer in waiting):
            waiting[name] = module  # dropout regularises what comes after it
    head = {id(parameter) for parameter in head_of(network).parameters()}
    made = []
    for parameters, parts in zip(found, modules):
        covered = {id(p) for module in parts.values() for p in module.parameters()}
        own = tuple(p for p in parameters if id(p) not in covered)
        if not any(id(p) in head for p in parameters) and (parts or own):
            named = [name for name, module in parts.items() if any(True for _ in module.parameters())]
            made.append(Block(next(iter(named), "own parameters"), tuple(parts.values()), own))
    return made


def first(model: nn.Module, up_to: int | str) -> list[Block]:
    """The first blocks of a network.

    Args:
        model: a network, or a task around it.
        up_to: how many; or a name, ``layer2`` or ``layer2.0``: up to the last block that is it or in it; or ``head``:
            all below the head.

    Raises:
        TrainingError: the network has no such block; lists those it has.
    """
    known = blocks(model)
    names = [block.name for block in known]
    if up_to == HEAD:
        return known
    if isinstance(up_to, int):
        if 0 <= up_to <= len(known):
            return known[:up_to]
        raise TrainingError(f"cannot freeze {up_to} blocks: {_listed(names)}")
    last = max((i for i, name in enumerate(names) if name == up_to or name.startswith(f"{up_to}.")), default=-1)
    if last < 0:
        raise TrainingError(f"cannot freeze up to '{up_to}'{did_you_mean(up_to, [*names, HEAD])}: {_listed(names)}")
    return known[: last + 1]


def matching(model: nn.Module, start: str) -> Block:
    """The part of a network whose names begin alike.

    Args:
        model: a network, or a task around it.
        start: first part of dotted names, counted from the network: ``layer1`` is ``layer1`` and all in it, not
            ``layer10``. With a task, ``model.layer1`` means the same.

    Raises:
        TrainingError: nothing has such a name.
    """
    for root in dict.fromkeys((_network(model), model)):
        inside = f"{start}."
        modules = tuple(part for name, part in root.named_modules() if name == start or name.startswith(inside))
        own = tuple(p for name, p in root.named_parameters() if name == start or name.startswith(inside))
        if modules or own:
            return Block(start, modules, own)
    names = [name for name, _ in _network(model).named_modules() if name and name.count(".") < 2]
    raise TrainingError(
        f"nothing in the network is called '{start}'{did_you_mean(start, names)}; it has {', '.join(names[:12])}"
    )


def _is_in(name: str, outer: str) -> bool:
    return name.startswith(f"{outer}.")


def _network(model: nn.Module) -> nn.Module:
    """What a task trains, where it is one network under the name ``model``."""
    inner = getattr(model, "model", None) if isinstance(model, Task) else None
    return inner if isinstance(inner, nn.Module) else model


def _listed(names: Sequence[str]) -> str:
    numbered = ", ".join(f"{index} {name}" for index, name in enumerate(names, start=1))
    return f"below its head the network has {len(names)} block{'s' if len(names) != 1 else ''}: {numbered or 'none'}"
