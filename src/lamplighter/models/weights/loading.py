"""Copies tensors into a network by name, and says of every tensor what became of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lamplighter.core.errors import WeightsError
from lamplighter.models.weights.layouts import fitting

_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class LoadReport:
    """What became of every tensor. ``print(report)`` shows a table.

    Attributes:
        source: where the tensors came from.
        layout: whose names they had.
        loaded: names of the model's tensors that were filled.
        new: tensors of the head, which keep the values they start with.
        missing: other tensors of the model that the file does not have.
        mismatched: name -> shape in the file and shape in the model, where they differ.
        unexpected: tensors of the file that the model has no place for.
        ignored: tensors of the file that were to be left out.
        notes: what was changed on the way, and what a person should know.
    """

    source: str
    layout: str
    loaded: tuple[str, ...]
    new: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    mismatched: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    unexpected: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all of the model but its head was loaded, and nothing was left over."""
        return not (self.missing or self.mismatched or self.unexpected)

    def rows(self) -> list[tuple[str, int, str]]:
        """What became of them, how many, and the names, for a table; kinds without any are left out."""
        shapes = [f"{name} {_shape(theirs)} for {_shape(ours)}" for name, (theirs, ours) in self.mismatched.items()]
        table: list[tuple[str, Sequence[str]]] = [
            ("loaded", self.loaded),
            ("new (head)", self.new),
            ("other shape", shapes),
            ("missing in the file", self.missing),
            ("left over", self.unexpected),
            ("ignored", self.ignored),
        ]
        return [(kind, len(names), _short(names)) for kind, names in table if names]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the run's diary."""
        return {
            "source": self.source,
            "layout": self.layout,
            "loaded": len(self.loaded),
            "new": list(self.new),
            "missing": list(self.missing),
            "mismatched": {name: [list(theirs), list(ours)] for name, (theirs, ours) in self.mismatched.items()},
            "unexpected": list(self.unexpected),
            "ignored": list(self.ignored),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        rows = self.rows()
        width = max((len(kind) for kind, _, _ in rows), default=0)
        lines = [f"{self.source}: {self.layout}"]
        lines += [f"  {kind:<{width}}  {count:>4}  {names}" for kind, count, names in rows]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def load(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    head: Literal["keep", "new"] = "keep",
    strict: bool = True,
    ignore: Collection[str] = (),
    source: str = "state dict",
) -> LoadReport:
    """Copy tensors into a model by name. Types and memory layout of the model stay.

    Names are translated when the file follows another layout that the model lists, and cleared of what wrappers put
    in front (see `lamplighter.models.weights.layouts`). The first convolution is adapted when the file's images have
    another number of channels, and what the model's own ``adapted(name, tensor)`` can make fit is. Missing counters of
    batches and tensors tied to a loaded one are no fault.

    Args:
        model: its tensors are overwritten, all at the end or, on an error, none.
        tensors: by name.
        head: ``keep`` loads the last layer too, ``new`` leaves it as it is.
        strict: every tensor of the model (but a new head) must be in the file with its shape, and nothing be left over.
        ignore: patterns (``fc.*``) of names, in the model's spelling, of tensors to leave out; they are not missed.
        source: what to call the tensors in the report.

    Raises:
        WeightsError: nothing fits, or with ``strict`` not everything does; with the names, and near ones.
    """
    layout, named = fitting(tensors, model)
    own = model.state_dict()
    of_head = names_in(head_of(model), model) if head == "new" else set()
    ignored = {name for name in {*named, *own} if any(fnmatchcase(name, pattern) for pattern in ignore)}
    notes = []
    wanted = {name: tensor for name, tensor in named.items() if name in own and name not in of_head | ignored}
    first = first_convolution(model)
    if first in wanted and (adapted := _adapted(wanted[first], own[first])) is not None:
        notes.append(
            f"{first}: {wanted[first].shape[1]} channels in the file, {own[first].shape[1]} here; " + adapted[1]
        )
        wanted[first] = adapted[0]
    for name, tensor in wanted.items():
        if tensor.shape != own[name].shape and (adapted := _by_the_model(model, name, tensor)) is not None:
            wanted[name] = adapted[0]
            notes.append(f"{name}: {adapted[1]}")
    fits = {name: tensor for name, tensor in wanted.items() if tensor.shape == own[name].shape}
    filled = {own[name].data_ptr() for name in fits}
    report = LoadReport(
        source,
        layout.name,
        loaded=tuple(name for name in own if name in fits),
        new=tuple(name for name in own if name in of_head),
        missing=tuple(
            name
            for name, tensor in own.items()
            if name not in wanted
            and name not in of_head | ignored
            and not name.endswith(_COUNTER)
            and tensor.data_ptr() not in filled
        ),
        mismatched={
            name: (tuple(tensor.shape), tuple(own[name].shape)) for name, tensor in wanted.items() if name not in fits
        },
        unexpected=tuple(sorted(name for name in named if name not in own and name not in ignored)),
        ignored=tuple(sorted(ignored & named.keys())),
        notes=tuple(notes),
    )
    if not any(not name.endswith(_COUNTER) for name in fits):
        raise WeightsError(_nothing(report, named, own))
    if strict and not report.complete:
        raise WeightsError(_incomplete(report, names_in(head_of(model), model)))
    with torch.no_grad():
        for name, tensor in fits.items():
            own[name].copy_(tensor)
    return report


def head_of(model: nn.Module) -> nn.Module:
    """The last layer: ``model.head`` where there is one, else the last child, opened as far as it is a list.

    >>> head_of(nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1), nn.Flatten())))
    Linear(in_features=3, out_features=1, bias=True)
    """
    head = getattr(model, "head", None)
    if isinstance(head, nn.Module):
        return head
    children = [child for child in model.children() if any(True for _ in child.parameters())]
    if not children:
        return model
    last = children[-1]
    return head_of(last) if isinstance(last, nn.Sequential | nn.ModuleList) else last


def first_convolution(model: nn.Module) -> str:
    """Name of the weight that meets the image; empty without one."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            return f"{name}.weight" if module.groups == 1 else ""
    return ""


def _adapted(theirs: Tensor, ours: Tensor) -> tuple[Tensor, str] | None:
    """Kernels for another number of input channels, such that images whose channels are all equal give the same.

    To one channel: their sum. To fewer: the sum, shared alike. To more: the channels in turn, each kernel divided by
    the number of channels that get it.
    """
    old, new = theirs.shape[1], ours.shape[1]
    if theirs.dim() != 4 or old == new or theirs.shape[:1] + theirs.shape[2:] != ours.shape[:1] + ours.shape[2:]:
        return None
    if new < old:
        total = theirs.sum(dim=1, keepdim=True)
        return total.expand(-1, new, -1, -1) / new, "their kernels are added up" if new == 1 else "each gets their mean"
    turns = [channel % old for channel in range(new)]
    shares = torch.tensor([1 / turns.count(channel) for channel in turns], dtype=theirs.dtype)
    return theirs[:, turns] * shares.view(1, -1, 1, 1), "each kernel is shared among several channels"


def _by_the_model(model: nn.Module, name: str, tensor: Tensor) -> tuple[Tensor, str] | None:
    adapt = getattr(model, "adapted", None)
    result: tuple[Tensor, str] | None = adapt(name, tensor) if callable(adapt) else None
    return result


def names_in(part: nn.Module, model: nn.Module) -> set[str]:
    """Names within the model of all tensors of one of its parts."""
    if part is model:
        return set()
    prefixes = [name for name, module in model.named_modules(remove_duplicate=False) if module is part]
    return {f"{prefix}.{name}" for prefix in prefixes for name in part.state_dict()}


def _nothing(report: LoadReport, named: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    if report.mismatched:
        name, (theirs, ours) = next(iter(report.mismatched.items()))
        return (
            f"{report.source}: no tensor has the model's shape; '{name}' is {_shape(theirs)}, the model needs "
            f"{_shape(ours)}: build the model as that one was built"
        )
    theirs_names = [name for name in named if not name.endswith(_COUNTER)]
    near = [(name, close[0]) for name in theirs_names[:200] if (close := get_close_matches(name, own, 1, 0.7))]
    examples = "; ".join(f"'{name}' is near the model's '{mine}'" for name, mine in near[:3])
    return (
        f"{report.source}: no tensor has a name of the model. It has {_short(theirs_names)}; the model has "
        f"{_short([name for name in own if not name.endswith(_COUNTER)])}" + (f". {examples}" if examples else "")
    )


def _incomplete(report: LoadReport, of_head: Collection[str]) -> str:
    lines = "\n".join(f"  {kind}: {count}: {names}" for kind, count, names in report.rows() if kind != "new (head)")
    if not report.missing and not report.unexpected and set(report.mismatched) <= set(of_head):
        advice = "Only the head differs, it has other classes: take a new one with head: new"
    else:
        advice = (
            "Choose the model these weights are of, leave names out with ignore, or load what fits with strict: false"
        )
    return f"{report.source}: does not fit the model (strict):\n{lines}\n{advice}"


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _short(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
