"""Which modules of a network are drawn as one box: its repeated blocks, and the layers beside them."""

from __future__ import annotations

from collections import Counter

from torch import nn

LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def blocks_of(model: nn.Module) -> set[str]:
    """Paths of the modules to draw.

    A block is a module with parts of its own whose class occurs several times (``BasicBlock`` of a ResNet, ``Up`` of a
    U-Net) or that stands in a list (a layer of BERT). Modules that hold blocks are opened, others stay closed; the
    network itself and the lists in it are opened.

    >>> sorted(blocks_of(nn.Sequential(nn.Linear(2, 2), nn.ReLU())))
    ['0', '1']
    """
    kinds = _block_classes(model)
    found: set[str] = set()
    _collect(model, "", True, kinds, found)
    return found


def _collect(module: nn.Module, path: str, top: bool, kinds: set[type], found: set[str]) -> None:
    children = list(module.named_children())
    opened = top or (_holds(module, kinds) if type(module) not in LISTS else _opens(module, path, kinds))
    if not children or not opened or (type(module) in kinds and not top):
        found.add(path)
        return
    for name, child in children:
        _collect(child, f"{path}.{name}" if path else name, False, kinds, found)


def _opens(listed: nn.Module, path: str, kinds: set[type]) -> bool:
    """A list of blocks is opened wherever it is, one of plain layers (an MLP's body) directly below the network."""
    return _holds(listed, kinds) or "." not in path


def _holds(module: nn.Module, kinds: set[type]) -> bool:
    return any(type(inner) in kinds for inner in module.modules() if inner is not module)


def _block_classes(model: nn.Module) -> set[type]:
    composed = [type(m) for m in model.modules() if m is not model and list(m.children()) and type(m) not in LISTS]
    composed = [kind for kind in composed if not kind.__module__.startswith("torch.nn.modules.activation")]
    kinds = {kind for kind, count in Counter(composed).items() if count > 1}
    for module in model.modules():
        if type(module) in LISTS:
            kinds |= {type(child) for child in module.children() if type(child) in composed}
    return kinds
