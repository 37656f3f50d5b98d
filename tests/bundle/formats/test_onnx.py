"""The graph on disk is judged, not what the exporter was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from lamplighter.bundle.formats import onnx as onnx_format
from lamplighter.core.errors import BundleError
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.signature import Column, Signature, TensorSpec


class Attends(nn.Module):
    """(N, L) tokens and their mask, L varies -> (N, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        weight = mask.float().unsqueeze(-1)
        logits: Tensor = self.head((self.embed(tokens) * weight).sum(1) / weight.sum(1).clamp(min=1))
        return logits


def signature(*tensors: TensorSpec) -> Signature:
    target = Column(name="y", kind="category", categories=("a", "b"))
    return Signature(inputs=(Column(name="x", kind="array"),), tensors=tensors, targets=(target,))


TOKENS = signature(
    TensorSpec(name="tokens", dtype="int64", shape=(None,)), TensorSpec(name="mask", dtype="bool", shape=(None,))
)
FIXED = signature(TensorSpec(name="x", dtype="float32", shape=(4,)))


def spec(module: nn.Module) -> ExportSpec:
    return ExportSpec(module.eval(), "classification", ("logits",))


def example(rows: int = 3) -> tuple[Tensor, ...]:
    return torch.arange(rows * 5).reshape(rows, 5) % 11, torch.ones(rows, 5, dtype=torch.bool)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("onnx")
    assert onnx_format.write(spec(Attends()), folder, example(), TOKENS) == "model.onnx"
    assert [path.name for path in folder.iterdir()] == ["model.onnx"]
    return onnx.load(folder / "model.onnx")


def sizes(value: Any) -> list[Any]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_every_varying_dimension_is_symbolic(written: Any) -> None:
    assert [sizes(value) for value in written.graph.input] == [["batch", "dim1"], ["batch", "dim1"]]
    assert [sizes(value) for value in written.graph.output] == [["batch", 2]]
    assert [(entry.domain, entry.version) for entry in written.opset_import] == [("", 20)]


def test_no_notes_of_the_exporter_are_left(written: Any) -> None:
    content = written.SerializeToString()
    assert b"stack_trace" not in content
    assert b"test_onnx" not in content


def test_a_batch_of_one_is_no_example(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="at least two rows"):
        onnx_format.write(spec(Attends()), tmp_path, example(rows=1), TOKENS)


class Reshapes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(3, 4)[:, :2]


class Ignores(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x[:, :2] + 1


class Raises(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("this network does not work")


@pytest.mark.parametrize(
    ("module", "tensors", "message"),
    [
        (Reshapes(), 1, "output 'logits': the batch size is fixed at 3"),
        (Raises(), 1, "cannot be exported to ONNX: this network does not work"),
    ],
)
def test_what_cannot_be_exported_is_said_on_one_line(
    module: nn.Module, tensors: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        onnx_format.write(spec(module), tmp_path, (torch.ones(3, 4),), FIXED)
    assert "\n" not in str(caught.value)


def test_a_graph_that_differs_from_the_signature(written: Any) -> None:
    check = onnx_format._check
    check(written, TOKENS, ("logits",))
    with pytest.raises(BundleError, match="differ from the signature"):
        check(written, FIXED, ("logits",))
    longer = TOKENS.model_copy(
        update={"tensors": (TOKENS.tensors[0], TensorSpec(name="mask", dtype="bool", shape=(9,)))}
    )
    with pytest.raises(BundleError, match="input 'mask': dimension 1 is varying in the exported graph, 9"):
        check(written, longer, ("logits",))
    with pytest.raises(BundleError, match="the graph gives logits, the task promises value"):
        check(written, TOKENS, ("value",))


def test_another_opset_than_asked_for_is_noticed(written: Any) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(written)
    other.opset_import[0].version = 19
    with pytest.raises(BundleError, match="opset 19 instead of 20"):
        onnx_format._check(other, TOKENS, ("logits",))


class Collides(nn.Module):
    """A layer named like an output of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.embedding(tokens) * mask.unsqueeze(-1)
        return self.head(embedding.mean(1)), embedding.mean(1)


def test_a_layer_named_like_an_output_gives_way(tmp_path: Path) -> None:
    import numpy as np
    import onnxruntime

    module = Collides().eval()
    wanted = ExportSpec(module, "classification", ("logits", "embedding"))
    onnx_format.write(wanted, tmp_path, example(), TOKENS)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    tokens, mask = example(4)
    found = session.run(["logits", "embedding"], {"tokens": tokens.numpy(), "mask": mask.numpy()})
    for got, own in zip(found, module(tokens, mask)):
        np.testing.assert_allclose(got, own.detach().numpy(), atol=1e-6)
