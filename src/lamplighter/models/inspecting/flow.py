"""Follows tensors from block to block through one forward pass: who feeds whom, and where skips are added inside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lamplighter.models.inspecting.layers import Call, Input, LayerStack, run, tensors_in
from lamplighter.models.inspecting.predict import evaluating

_ADDS = {"add", "add_", "__add__", "__iadd__", "__radd__"}
_PROJECTIONS = {"conv1d", "conv2d", "conv3d"}
_MEETING = _ADDS | {
    "cat", "concat", "concatenate", "stack", "mul", "__mul__", "mul_", "sub", "__sub__", "matmul", "__matmul__", "bmm",
    "scaled_dot_product_attention", "lstm", "gru", "rnn_tanh", "rnn_relu",
}  # fmt: skip
"""Functions outside of blocks in which flows meet. Of all others the first tensor counts: ``x.to(like)``."""
_KEEP_PROJECTION = {"batch_norm", "group_norm"}


@dataclass(eq=False)
class Node:
    """A block at work, an operation where flows meet, an input, or the output.

    Attributes:
        name: path of the module; a word for what is none.
        module: None for what is none.
        skips: sums inside that add an earlier tensor to a later one (residual connections).
        operation: ``+``, ``concat`` ... where flows meet outside of blocks; "" for blocks, inputs and the output.
        input_shape, output_shape: of the first tensor.
    """

    name: str
    module: nn.Module | None = None
    skips: int = 0
    operation: str = ""
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Edge:
    """A tensor that goes from one node to another."""

    source: Node
    target: Node
    shape: tuple[int, ...]


@dataclass
class Flow:
    """Nodes in the order they ran in, and what flows between them."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    def connect(self, source: Node, target: Node, shape: tuple[int, ...]) -> None:
        """Add an edge once."""
        if source is not target and not any(e.source is source and e.target is target for e in self.edges):
            self.edges.append(Edge(source, target, shape))


def follow(model: nn.Module, input: Input, blocks: set[str]) -> Flow:
    """Run a network once, in eval mode without a graph.

    Args:
        model: the network.
        input: as `lamplighter.models.inspecting.layers.run` takes it.
        blocks: paths of the modules that become nodes.
    """
    tracker = _Tracker(blocks)
    listed = input if isinstance(input, tuple | list | dict) else [input]
    named = listed.items() if isinstance(listed, dict) else enumerate(listed)
    for name, tensor in named:
        if isinstance(tensor, Tensor) and tensor.dtype != torch.bool:  # masks feed everything and say nothing
            tracker.start(tensor, name if isinstance(name, str) else "input")
    stack = LayerStack(model, tracker.entered, tracker.left)
    with evaluating(model), torch.no_grad(), stack.following(), tracker:
        output = run(model, input)
    tracker.finish(tensors_in(output))
    return tracker.flow


class _Tracker(TorchFunctionMode):
    """Outside of blocks: which node a tensor comes from. Inside of one: what a tensor was made of since its start."""

    def __init__(self, blocks: set[str]) -> None:
        super().__init__()
        self.flow = Flow()
        self._blocks = blocks
        self._block: Node | None = None
        self._entered_at: Call | None = None
        self._source: dict[int, Node] = {}
        self._ancestors: dict[int, frozenset[int]] = {}
        self._projected: dict[int, int] = {}  # result of a convolution -> what it was applied to
        self._held: list[Tensor] = []  # an id means one tensor only as long as that lives

    def start(self, tensor: Tensor, name: str) -> None:
        """An input of the network."""
        node = self._add(Node(name, output_shape=tuple(tensor.shape)))
        self._mark(tensor, node)

    def finish(self, outputs: list[Tensor]) -> None:
        """The output of the network."""
        node = self._add(Node("output", input_shape=tuple(outputs[0].shape) if outputs else ()))
        for tensor in outputs:
            if id(tensor) in self._source:
                self.flow.connect(self._source[id(tensor)], node, tuple(tensor.shape))

    def entered(self, call: Call) -> None:
        if self._block is not None or call.path not in self._blocks:
            return
        shape = tuple(call.given[0].shape) if call.given else ()
        self._block, self._entered_at = self._add(Node(call.path, call.module, input_shape=shape)), call
        self._ancestors = {id(tensor): frozenset() for tensor in call.given}
        self._projected = {}
        for tensor in call.given:
            if id(tensor) in self._source:
                self.flow.connect(self._source[id(tensor)], self._block, tuple(tensor.shape))

    def left(self, call: Call, outputs: list[Tensor]) -> None:
        if self._block is None or call is not self._entered_at:
            return
        self._block.output_shape = tuple(outputs[0].shape) if outputs else ()
        for tensor in outputs:
            self._mark(tensor, self._block)
        self._block = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = tensors_in((args, kwargs))
        name = getattr(func, "__name__", "")
        if self._block is not None and name in _ADDS:
            self._block.skips += self._is_skip(given)
        out = func(*args, **kwargs)
        outputs = tensors_in(out) if isinstance(out, Tensor | tuple | list) else []
        if self._block is not None:
            self._inherit(name, given, outputs)
        elif outputs:
            self._between(name, given, outputs)
        return out

    def _is_skip(self, given: list[Tensor]) -> bool:
        """Whether one of two summands, or what it is a convolution of, is what the other was made from."""
        if len(given) != 2:
            return False
        for early, late in (given, given[::-1]):
            ancestors = self._ancestors.get(id(late), frozenset())
            if id(early) in ancestors:
                return True
            base = self._projected.get(id(early))
            if base in ancestors and base != self._projected.get(id(late)):
                return True
        return False

    def _inherit(self, name: str, given: list[Tensor], outputs: list[Tensor]) -> None:
        known = [tensor for tensor in given if id(tensor) in self._ancestors]
        if not known:
            return
        ancestors = frozenset().union(*(self._ancestors[id(t)] | {id(t)} for t in known))
        for tensor in outputs:
            self._held.append(tensor)
            self._ancestors[id(tensor)] = ancestors - {id(tensor)}  # in place: it is not its own ancestor
            self._projected.pop(id(tensor), None)
            if name in _PROJECTIONS:
                self._projected[id(tensor)] = id(given[0])
            elif name in _KEEP_PROJECTION and id(given[0]) in self._projected:
                self._projected[id(tensor)] = self._projected[id(given[0])]

    def _between(self, name: str, given: list[Tensor], outputs: list[Tensor]) -> None:
        sources: dict[int, tuple[Node, Tensor]] = {}
        for tensor in given:
            if id(tensor) in self._source:
                node = self._source[id(tensor)]
                sources.setdefault(id(node), (node, tensor))
        if not sources or all(tensor.dtype == torch.bool for tensor in outputs):
            return
        node = next(iter(sources.values()))[0]
        if len(sources) > 1 and name in _MEETING:
            merged = self._add(Node(name, operation=_symbol(name), output_shape=tuple(outputs[0].shape)))
            for source, tensor in sources.values():
                self.flow.connect(source, merged, tuple(tensor.shape))
            node = merged
        for tensor in outputs:
            self._mark(tensor, node)

    def _add(self, node: Node) -> Node:
        self.flow.nodes.append(node)
        return node

    def _mark(self, tensor: Tensor, node: Node) -> None:
        self._held.append(tensor)
        self._source[id(tensor)] = node


def _symbol(name: str) -> str:
    if name in _ADDS:
        return "+"
    if name in ("cat", "concat", "concatenate"):
        return "concat"
    return "×" if name.strip("_") in ("mul", "imul", "rmul") else name.strip("_")
