"""What a network is made of and what it costs: layer by layer, in a table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from lamplighter.models.inspecting import macs
from lamplighter.models.inspecting.layers import Call, Input, LayerStack, run
from lamplighter.models.inspecting.predict import evaluating

_LISTS = ("ModuleList", "ModuleDict")
_SECONDS = 2.0  # no more repetitions than fit into this


@dataclass
class Row:
    """One module. Numbers include everything inside it.

    Attributes:
        name: path in the network; "" is the network itself.
        kind: name of its class.
        depth: how many modules it lies within.
        input_shape, output_shape: of the first tensor in and out, at the last call; None if it was never called.
        params: numbers that are trained or frozen in it; shared ones count where they are met first.
        macs: multiply-accumulate operations of one forward pass of the whole input.
        activation_bytes: what autograd keeps for the backward pass.
        calls: how often it ran.
    """

    name: str
    kind: str
    depth: int
    input_shape: tuple[int, ...] | None = None
    output_shape: tuple[int, ...] | None = None
    params: int = 0
    macs: int = 0
    activation_bytes: int = 0
    calls: int = 0


@dataclass(frozen=True)
class Summary:
    """What `summary` returns; ``print`` shows it as a table.

    Attributes:
        rows: one for each module, the network itself first.
        trainable: parameters that get a gradient.
        param_bytes: of all parameters and buffers.
        milliseconds: median of several forward passes in eval mode without a graph; None when not measured.
        threads: that torch used for it.
    """

    rows: list[Row] = field(repr=False)
    trainable: int
    param_bytes: int
    milliseconds: float | None
    threads: int

    @property
    def params(self) -> int:
        """All parameters."""
        return self.rows[0].params

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of one forward pass. FLOPs are twice as many."""
        return self.rows[0].macs

    @property
    def activation_bytes(self) -> int:
        """What autograd keeps for the backward pass, the input included; parameters are not in it."""
        return self.rows[0].activation_bytes

    def to_dict(self, depth: int | None = None) -> dict[str, Any]:
        """For JSON; units are in the names."""
        return {
            "params": self.params,
            "trainable": self.trainable,
            "param_bytes": self.param_bytes,
            "macs": self.macs,
            "activation_bytes": self.activation_bytes,
            "milliseconds": self.milliseconds,
            "threads": self.threads,
            "layers": [vars(row) for row in self._shown(depth)],
        }

    def table(self, depth: int | None = None) -> Table:
        """A table for a terminal, down to a depth; deeper modules are in the numbers of those around them."""
        table = Table(title="Layers", title_justify="left", header_style="bold")
        table.add_column("layer", no_wrap=True)
        table.add_column("type", no_wrap=True)
        table.add_column("output", no_wrap=True)
        for name in ("params", "MACs", "activations"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in self._shown(depth)[1:]:
            shape = " x ".join(map(str, row.output_shape)) if row.output_shape is not None else "not called"
            shape = "" if row.kind in _LISTS else shape  # which are never called themselves
            numbers = [f"{row.params:,}", counted(row.macs), sized(row.activation_bytes)]
            name = "  " * (row.depth - 1) + row.name.rpartition(".")[2]
            table.add_row(name, row.kind, shape + (f" ({row.calls} calls)" if row.calls > 1 else ""), *numbers)
        return table

    def totals(self) -> str:
        """Three lines of sums, with their units."""
        took = "" if self.milliseconds is None else f"; {self.milliseconds:.1f} ms, {self.threads} thread(s)"
        frozen = self.params - self.trainable
        return (
            f"{self.params:,} parameters{f', {frozen:,} of them frozen' if frozen else ''}, {sized(self.param_bytes)}\n"
            f"{counted(self.macs)} MACs a forward pass (1 MAC = 1 multiplication and 1 addition){took}\n"
            f"{sized(self.activation_bytes)} of activations kept for the backward pass"
        )

    def __str__(self) -> str:
        console = Console(width=160, color_system=None)
        with console.capture() as captured:
            console.print(self.table())
        return captured.get() + self.totals()

    def _shown(self, depth: int | None) -> list[Row]:
        return [row for row in self.rows if depth is None or row.depth <= depth]


def summary(model: nn.Module, input: Input, repeats: int = 5) -> Summary:
    """Trace one forward pass: shapes, parameters, MACs, memory of activations; and measure how long it takes.

    The pass runs in eval mode, without changing the network, its modes or the gradients it has.

    Args:
        model: any network.
        input: a tensor, a tuple of tensors, or a dict of them by name. Its batch is in all numbers.
        repeats: forward passes to measure, after one to warm up (fewer when they take long); 0 for none.

    Raises:
        LayerError: the forward pass failed; the layer is named, with the shapes it got.

    >>> net = nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1))
    >>> found = summary(net, torch.zeros(1, 10), repeats=0)
    >>> found.params, found.macs, found.rows[1].output_shape
    (61, 55, (1, 5))
    """
    rows = {path: Row(path, type(module).__name__, _depth(path)) for path, module in model.named_modules()}
    trainable = _count_parameters(model, rows)
    with evaluating(model):
        _trace(model, input, rows)
        took = _milliseconds(model, input, repeats)
    tensors = [*model.parameters(), *model.buffers()]
    return Summary(list(rows.values()), trainable, sum(t.nbytes for t in tensors), took, torch.get_num_threads())


def counted(number: float) -> str:
    """``1.81 G``: three digits and a unit of 1,000.

    >>> counted(1_814_073_344), counted(512)
    ('1.81 G', '512')
    """
    return _scaled(number, 1000, ("", "k", "M", "G", "T", "P"))


def sized(number: float) -> str:
    """``4.2 MiB``: bytes in units of 1,024.

    >>> sized(4_404_019)
    '4.2 MiB'
    """
    return _scaled(number, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def _scaled(number: float, step: int, units: tuple[str, ...]) -> str:
    index = 0
    while number >= step and index < len(units) - 1:
        number, index = number / step, index + 1
    digits = 0 if index == 0 else 2 if step == 1000 and number < 10 else 1
    return f"{number:.{digits}f} {units[index]}".rstrip()


def _count_parameters(model: nn.Module, rows: dict[str, Row]) -> int:
    """Write ``params``; returns how many are trainable."""
    trainable = 0
    for name, parameter in model.named_parameters():
        for path in _within(name.rpartition(".")[0]):
            rows[path].params += parameter.numel()
        trainable += parameter.numel() if parameter.requires_grad else 0
    return trainable


def _trace(model: nn.Module, input: Input, rows: dict[str, Row]) -> None:
    """One forward pass that records a graph, since only then something is kept."""
    known = {tensor.untyped_storage()._cdata for tensor in [*model.parameters(), *model.buffers()]}

    def entered(call: Call) -> None:
        rows[call.path].calls += 1
        rows[call.path].input_shape = tuple(call.given[0].shape) if call.given else None

    def left(call: Call, out: list[Tensor]) -> None:
        rows[call.path].output_shape = tuple(out[0].shape) if out else None

    def add(number: int) -> None:
        for path in _within(stack.path):
            rows[path].macs += number

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:  # the graph holds it, so its address is not used twice
            known.add(storage._cdata)
            for path in _within(stack.path):
                rows[path].activation_bytes += storage.nbytes()
        return tensor

    stack = LayerStack(model, entered, left)
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, _unpacked)
    with torch.enable_grad(), stack.following(), macs.visible(), hooks, macs.MacCounter(add):
        output = run(model, input)
    del output


def _unpacked(tensor: Tensor) -> Tensor:
    return tensor


def _milliseconds(model: nn.Module, input: Input, repeats: int) -> float | None:
    if repeats < 1:
        return None
    with torch.no_grad():
        timed: Callable[[], float] = lambda: _seconds(model, input)  # noqa: E731
        first = timed()
        times = sorted(timed() for _ in range(max(1, min(repeats, int(_SECONDS / max(first, 1e-9))))))
    return 1000 * times[len(times) // 2]


def _seconds(model: nn.Module, input: Input) -> float:
    start = time.perf_counter()
    run(model, input)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _depth(path: str) -> int:
    return path.count(".") + 1 if path else 0


def _within(path: str) -> list[str]:
    """The path, and those of all modules around it.

    >>> _within("a.b")
    ['', 'a', 'a.b']
    """
    parts = path.split(".") if path else []
    return [".".join(parts[:i]) for i in range(len(parts) + 1)]
