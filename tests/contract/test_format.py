"""What every file format of a bundle must hold: one file of the name it returns, and the same bytes every time."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch

from lamplighter.core import registry
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.nn.exported import ExportedNetwork

SIGNATURE = Signature(
    inputs=tuple(Column(name=f"c{i}", kind="numeric") for i in range(4)),
    tensors=(TensorSpec(name="x", dtype="float32", shape=(4,)),),
    targets=(Column(name="y", kind="category", categories=("a", "b", "c")),),
)


@pytest.fixture(scope="module", params=registry.names("format"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def files(name: str, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same network written twice, into folders of their own."""
    return [write(name, tmp_path_factory.mktemp(f"{name}-{i}")) for i in range(2)]


def spec() -> ExportSpec:
    torch.manual_seed(0)
    model = registry.build("model", "mlp", {}, SIGNATURE.facts())
    network = ExportedNetwork(torch.nn.Identity(), model, torch.nn.Identity()).eval()
    return ExportSpec(network, "classification", ("logits", "embedding"))


def write(name: str, folder: Path) -> Path:
    example = (torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),)
    return folder / registry.get("format", name)(spec(), folder, example, SIGNATURE)


def test_takes_what_every_format_takes(name: str) -> None:
    parameters = inspect.signature(registry.get("format", name)).parameters
    assert list(parameters) == ["spec", "folder", "example", "signature"]


def test_writes_one_file_and_returns_its_name(files: list[Path]) -> None:
    for path in files:
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]
        assert path.stat().st_size > 100


def test_the_same_network_gives_the_same_bytes(files: list[Path]) -> None:
    assert files[0].read_bytes() == files[1].read_bytes()


def test_nothing_of_this_machine_is_written(files: list[Path]) -> None:
    content = files[0].read_bytes()
    assert str(Path(__file__).parent.parent.parent).encode() not in content
    assert str(files[0].parent).encode() not in content
