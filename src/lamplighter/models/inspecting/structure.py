"""The structure of a network as a picture: blocks as boxes, shapes on the arrows between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from lamplighter.core import files
from lamplighter.models.inspecting.blocks import blocks_of
from lamplighter.models.inspecting.flow import Flow, Node, follow
from lamplighter.models.inspecting.layers import Input
from lamplighter.models.inspecting.wording import describe, is_small, kind_of

Shape = tuple[int, ...]


@dataclass(eq=False)
class Box:
    """One box of the picture.

    Attributes:
        title: what it is: ``BasicBlock``, ``+``, ``input``.
        names: paths of the modules in it, in the order they run.
        details: words on sizes; of small layers that were taken in as well.
        kind: its family, which gives the colour: ``conv``, ``attention``, ``merge`` (flows meet), ``end`` ...
        count: how many equal blocks in a row it stands for.
        params: of all of them.
        skips: residual sums inside each.
        signature: what must be equal for two boxes to be drawn as one.
    """

    title: str
    names: list[str]
    details: list[str]
    kind: str
    count: int = 1
    params: int = 0
    skips: int = 0
    signature: tuple[object, ...] = ()


@dataclass(frozen=True)
class Arrow:
    """From box to box, with the shape of what flows."""

    source: Box
    target: Box
    shape: Shape


@dataclass
class Structure:
    """What `structure` returns: boxes in the order they run, and the arrows between them."""

    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)

    def into(self, box: Box) -> list[Arrow]:
        """Arrows that end in a box."""
        return [arrow for arrow in self.arrows if arrow.target is box]

    def out_of(self, box: Box) -> list[Arrow]:
        """Arrows that begin in a box."""
        return [arrow for arrow in self.arrows if arrow.source is box]

    def svg(self, title: str = "") -> str:
        """The picture as text."""
        from lamplighter.models.inspecting.structure_svg import draw

        return draw(self, title)

    def save(self, path: Path, title: str = "") -> None:
        """Write the picture as an SVG file, whole or not at all."""
        files.write_text(path, self.svg(title))


def structure(model: nn.Module, input: Input) -> Structure:
    """Trace one forward pass and group it into boxes.

    Repeated blocks in a row become one box with a count; norms, activations and dropout are taken into the layer before
    them; residual sums inside a block are counted; what flows past other blocks (the skips of a U-Net) is an arrow
    of its own. Masks are not drawn.

    Args:
        model: any network.
        input: a tensor, a tuple of tensors, or a dict of them by name.

    Raises:
        LayerError: the forward pass failed; the layer is named.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> [box.title for box in structure(net, torch.zeros(1, 4)).boxes]
    ['input', 'Linear', 'Linear', 'Linear', 'output']
    """
    drawn = _boxes(follow(model, input, blocks_of(model)))
    _drop_unfed(drawn)
    _take_in_small_layers(drawn)
    _group_repeated(drawn)
    return drawn


def _boxes(flow: Flow) -> Structure:
    boxes = {id(node): _box(node) for node in flow.nodes}
    arrows = [Arrow(boxes[id(edge.source)], boxes[id(edge.target)], edge.shape) for edge in flow.edges]
    return Structure(list(boxes.values()), arrows)


def _box(node: Node) -> Box:
    if node.module is None:
        return Box(node.operation or node.name, [], [], "merge" if node.operation else "end", signature=(id(node),))
    params = sum(parameter.numel() for parameter in node.module.parameters())
    title, details = describe(node.module)
    signature = (title, tuple(details), node.input_shape, node.output_shape, params, node.skips)
    return Box(title, [node.name], details, kind_of(node.module), 1, params, node.skips, signature)


def _drop_unfed(drawn: Structure) -> None:
    """Take out boxes that nothing flows into or out of: position tables and other constants."""
    drawn.boxes = [box for box in drawn.boxes if drawn.into(box) or drawn.out_of(box)]


def _take_in_small_layers(drawn: Structure) -> None:
    """Norms, activations, dropout: into the layer before, if that feeds nothing else."""
    for box in list(drawn.boxes):
        before = drawn.into(box)
        if box.kind != "small" or len(before) != 1:
            continue
        host = before[0].source
        if host.kind in ("end", "merge") or not is_small(host) or len(drawn.out_of(host)) != 1:
            continue
        host.names += box.names
        host.details += [box.title, *box.details] if box.title != "Identity" else []
        host.params += box.params
        host.signature = (*host.signature, *box.signature)
        _replace(drawn, box, host)


def _group_repeated(drawn: Structure) -> None:
    """Equal boxes in a row become one. What else they are fed with (an encoder's memory) must be the same."""
    for box in list(drawn.boxes):
        incoming = drawn.into(box)
        before = next((a.source for a in incoming if a.source.signature == box.signature), None)
        if before is None or len(drawn.out_of(before)) != 1:
            continue
        others = {id(a.source) for a in incoming if a.source is not before}
        if len(others) + 1 != len(drawn.into(before)) or not others <= {id(a.source) for a in drawn.into(before)}:
            continue
        before.names += box.names
        before.count += 1
        before.params += box.params
        _replace(drawn, box, before)


def _replace(drawn: Structure, box: Box, host: Box) -> None:
    """Let a host stand for a box: its arrows become the host's."""
    drawn.boxes.remove(box)
    kept = [a for a in drawn.arrows if a.target is not box and a.source is not box]
    moved = [Arrow(host, a.target, a.shape) for a in drawn.out_of(box)]
    drawn.arrows = kept + moved
