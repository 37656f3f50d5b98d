"""Under which names other libraries save the tensors of a network, and how those names become ours."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

WRAPPERS = ("module", "model", "backbone", "network", "net")
"""First parts of names that wrappers put in front: DataParallel, Lightning, our own tasks, self-supervised methods."""

_COMPILED = "_orig_mod"


def _any_config(_config: Mapping[str, Any]) -> str | None:
    return None


@dataclass(frozen=True)
class Layout:
    """One way of naming a model's tensors. Models list theirs in a class attribute ``layouts``.

    Attributes:
        name: of the library, for reports.
        translate: their tensors by their names -> the same tensors by our names; tensors may be split, joined or
            transposed. Names it does not know stay as they are.
        unlike: the ``config.json`` that lies beside the file -> why such tensors would compute something else here,
            or None.
    """

    name: str
    translate: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    unlike: Callable[[Mapping[str, Any]], str | None] = _any_config


OWN = Layout("the model's own names", lambda tensors: dict(tensors))


def layouts_of(model: nn.Module) -> tuple[Layout, ...]:
    """The model's own names first, then what its class lists in ``layouts``."""
    return (OWN, *getattr(model, "layouts", ()))


def unwrapped(name: str, known: Collection[str]) -> str:
    """A tensor's name without what wrappers put in front of it.

    Parts of `WRAPPERS` are taken away until the name is known, and the ``_orig_mod`` of torch.compile wherever it is.

    Args:
        name: as in the file.
        known: names the model has.

    >>> unwrapped("module.backbone._orig_mod.conv1.weight", {"conv1.weight"})
    'conv1.weight'
    >>> unwrapped("model.body.weight", {"model.body.weight"})  # the model's own part is no wrapper
    'model.body.weight'
    """
    name = ".".join(part for part in name.split(".") if part != _COMPILED)
    while name not in known:
        first, _, rest = name.partition(".")
        if first not in WRAPPERS or not rest:
            return name
        name = rest
    return name


def fitting(tensors: Mapping[str, Tensor], model: nn.Module) -> tuple[Layout, dict[str, Tensor]]:
    """The layout under which most of the tensors have a name of the model, and the tensors under those names.

    Of two that name as many, the one that leaves fewer over: it knows what old files hold besides.

    Args:
        tensors: as read from a file.
        model: to be loaded.
    """
    own = model.state_dict().keys()
    best: tuple[Layout, dict[str, Tensor]] | None = None
    for layout in layouts_of(model):
        renamed = _by_own_names(layout, tensors, own)
        if best is None or _fit(renamed, own) > _fit(best[1], own):
            best = layout, renamed
    assert best is not None
    return best


def _fit(named: Mapping[str, Tensor], own: Collection[str]) -> tuple[int, int]:
    known = sum(name in own for name in named)
    return known, known - len(named)


def _by_own_names(layout: Layout, tensors: Mapping[str, Tensor], own: Collection[str]) -> dict[str, Tensor]:
    # A wrapper may stand before foreign names too; then only the foreign name behind it is known to the layout.
    stripped = {unwrapped(name, own): tensor for name, tensor in tensors.items()}
    translated = layout.translate(stripped)
    return {unwrapped(name, own): tensor for name, tensor in translated.items()}
