"""``model.onnx``: one file, every varying dimension symbolic, nothing of this machine in it."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor

from lamplighter.core.errors import BundleError
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.signature import Signature

OPSET = 20
"""What torch's exporter writes without converting; read by ONNX Runtime 1.17 and later."""
FILE = "model.onnx"
_OUTPUT = "output of the network: "


def write(spec: ExportSpec, folder: Path, example: tuple[Tensor, ...], signature: Signature) -> str:
    """Export through ``torch.export``, then read the file back and hold it to the signature.

    Torch's exporter falls back to fixed sizes, or to another opset, without an error; so what it wrote is what counts.
    Where two tensors of one group both vary at one axis, they vary together.

    Args:
        spec: network and names of its outputs.
        folder: where to write.
        example: one real batch, in the order of ``signature.tensors``; never of a single row, which would be baked in.
        signature: names, types and varying dimensions of the inputs.

    Returns:
        Name of the file.

    Raises:
        BundleError: the network cannot be exported, or the graph has a fixed size where the signature varies.
    """
    if len(example[0]) < 2:
        raise BundleError("export needs an example batch of at least two rows; with one row the batch size is baked in")
    path = folder / FILE
    names = [tensor.name for tensor in signature.tensors]
    # AUTO, since a named dimension comes out fixed when an LSTM is exported for the second time in a process.
    shapes = tuple(dict.fromkeys((0, *_varying(t.shape)), torch.export.Dim.AUTO) for t in signature.tensors)
    with warnings.catch_warnings():
        # Said of two tensors that vary together; their axis keeps the first one's name, which is the same.
        warnings.filterwarnings("ignore", message="# The axis name: .* will not be used", category=UserWarning)
        try:
            torch.onnx.export(
                spec.module,
                example,
                path,
                input_names=names,
                output_names=[_OUTPUT + name for name in spec.outputs],
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                dynamic_shapes=shapes,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise BundleError(f"the network cannot be exported to ONNX: {_reason(error)}") from error
    model = onnx.load(path)
    _strip(model)
    _name_outputs(model.graph, spec.outputs)
    _name_dimensions(model, signature)
    onnx.save(model, path)
    _check(model, signature, spec.outputs)
    return FILE


def _name_outputs(graph: Any, outputs: tuple[str, ...]) -> None:
    """Outputs by their names; a value inside that already has one (a layer called ``embedding`` makes it) gives way."""
    names = {_OUTPUT + name: name for name in outputs} | {name: f"{name} inside" for name in outputs}
    graphs = [graph]
    while graphs:
        part = graphs.pop()
        for value in [*part.input, *part.output, *part.value_info, *part.initializer]:
            value.name = names.get(value.name, value.name)
        for node in part.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def _name_dimensions(model: Any, signature: Signature) -> None:
    """``batch``, ``dim1``, ... for the symbols torch made up; of a group with a name ``decoder_dim1`` and so on."""
    groups = {tensor.name: f"{tensor.group}_" if tensor.group else "" for tensor in signature.tensors}
    names: dict[str, str] = {}
    for value in model.graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.HasField("dim_param"):
                name = f"{groups.get(value.name, '')}dim{axis}" if axis else "batch"
                names.setdefault(dim.dim_param, name)
    if not names:
        return
    symbol = re.compile(r"\b(" + "|".join(map(re.escape, names)) + r")\b")
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                dim.dim_param = symbol.sub(lambda found: names[found[0]], dim.dim_param)


def _varying(shape: tuple[int | None, ...]) -> list[int]:
    """Axes, counted with the batch, whose size is not fixed."""
    return [axis for axis, size in enumerate(shape, start=1) if size is None]


def _reason(error: BaseException) -> str:
    """The innermost cause, on one line: the outer ones are advice on debugging torch."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip(" -\t") for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(error).__name__


def _strip(model: Any) -> None:
    """Remove the exporter's notes: stack traces name files of this machine."""
    graphs = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        for part in [graph, *graph.node, *graph.value_info]:
            _forget(part)
        for part in [*getattr(graph, "initializer", ()), *_values(graph)]:
            _forget(part)
        graphs += [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    _forget(model)


def _values(graph: Any) -> list[Any]:
    """Inputs and outputs of a graph; those of a function are mere names."""
    return [value for value in [*graph.input, *graph.output] if not isinstance(value, str)]


def _forget(part: Any) -> None:
    part.ClearField("doc_string")
    part.ClearField("metadata_props")


def _check(model: Any, signature: Signature, outputs: tuple[str, ...]) -> None:
    onnx.checker.check_model(model, full_check=True)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets.get("") != OPSET:
        raise BundleError(f"the exporter wrote ONNX opset {opsets.get('')} instead of {OPSET}")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise BundleError("the exporter wrote weights outside of model.onnx")
    inputs = {value.name: value for value in model.graph.input}
    names = [tensor.name for tensor in signature.tensors]
    if list(inputs) != names:
        unused = sorted(set(names) - set(inputs))
        reason = f"the network does not use {', '.join(unused)}" if unused else f"the graph takes {', '.join(inputs)}"
        raise BundleError(f"inputs of the graph differ from the signature: {reason}")
    for tensor in signature.tensors:
        for axis, (found, wanted) in enumerate(zip(_dimensions(inputs[tensor.name]), (None, *tensor.shape))):
            _check_dimension(f"input '{tensor.name}'", axis, found, wanted)
    if [value.name for value in model.graph.output] != list(outputs):
        found_names = ", ".join(value.name for value in model.graph.output)
        raise BundleError(f"the graph gives {found_names}, the task promises {', '.join(outputs)}")
    for value in model.graph.output:
        _check_dimension(f"output '{value.name}'", 0, _dimensions(value)[0], None)


def _dimensions(value: Any) -> list[int | None]:
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim] or [0]


def _check_dimension(where: str, axis: int, found: int | None, wanted: int | None) -> None:
    if found == wanted:
        return
    what = "the batch size" if axis == 0 else f"dimension {axis}"
    if wanted is None:
        raise BundleError(
            f"{where}: {what} is fixed at {found} in the exported graph although it varies; the network's forward "
            "turns a size into a constant (len(), int() or reshape with fixed numbers)"
        )
    raise BundleError(f"{where}: {what} is {found or 'varying'} in the exported graph, {wanted} in the signature")
