"""The network is held to the manifest, and tensors to the signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.bundle.manifest import Manifest
from lamplighter.bundle.runtime import Bundle
from lamplighter.bundle.runtime.session import Session
from lamplighter.core.errors import BundleError, InputError
from lamplighter.core.signature import TensorSpec


@pytest.fixture(scope="module")
def model(linear_bundle: Bundle) -> bytes:
    return (linear_bundle.path / "model.onnx").read_bytes()


def with_tensor(manifest: Manifest, **changes: Any) -> Manifest:
    tensor = TensorSpec.model_validate({**manifest.signature.tensors[0].model_dump(), **changes})
    signature = manifest.signature.model_copy(update={"tensors": (tensor,)})
    return manifest.model_copy(update={"signature": signature})


@pytest.mark.parametrize("changes", [{"name": "z"}, {"dtype": "uint8"}, {"shape": (5,)}, {"shape": (None,)}])
def test_a_network_of_another_signature(linear_bundle: Bundle, model: bytes, changes: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"model\.onnx takes .*, but the manifest says"):
        Session(model, with_tensor(linear_bundle.manifest, **changes))


def test_a_missing_output_and_no_network_at_all(linear_bundle: Bundle, model: bytes) -> None:
    with pytest.raises(BundleError, match="no output 'attention'; it has logits, embedding"):
        Session(model, linear_bundle.manifest.model_copy(update={"outputs": ("logits", "attention")}))
    with pytest.raises(BundleError, match="cannot be loaded"):
        Session(b"not a network", linear_bundle.manifest)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "takes the tensors x, not none"),
        ({"y": np.zeros(1)}, "takes the tensors x, not y"),
        ({"x": np.zeros((1, 4))}, r"field 'x': expected float32 of shape \(rows, 4\), not float64 of \(1, 4\)"),
        ({"x": np.zeros((1, 5), np.float32)}, r"not float32 of \(1, 5\)"),
        ({"x": np.zeros(4, np.float32)}, r"not float32 of \(4,\)"),
        ({"x": np.float32(3)}, r"not float32 of \(\)"),
    ],
)
def test_tensors_that_do_not_fit(linear_bundle: Bundle, tensors: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        linear_bundle.run(tensors)


def test_no_rows_and_strided_rows(linear_bundle: Bundle) -> None:
    assert linear_bundle.run({"x": np.zeros((0, 4), np.float32)})["logits"].shape == (0, 3)
    x = np.arange(40, dtype=np.float32).reshape(5, 8)
    outputs = linear_bundle.run({"x": x[:, ::2]})
    np.testing.assert_array_equal(
        outputs["logits"], linear_bundle.run({"x": np.ascontiguousarray(x[:, ::2])})["logits"]
    )


def test_threads_are_taken(linear_bundle: Bundle, model: bytes) -> None:
    session: Any = Session(model, linear_bundle.manifest, threads=2)
    options = session._session.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_a_network_that_points_to_files_of_the_machine(linear_bundle: Bundle, tmp_path: Path) -> None:
    """Weights kept outside of the graph could name any file; a network in memory has no outside."""
    import onnx

    graph = onnx.load(linear_bundle.path / "model.onnx")
    onnx.external_data_helper.convert_model_to_external_data(graph, location="weights.bin", size_threshold=0)
    onnx.save(graph, tmp_path / "outside.onnx")
    assert (tmp_path / "weights.bin").exists()
    with pytest.raises(BundleError, match="cannot be loaded"):
        Session((tmp_path / "outside.onnx").read_bytes(), linear_bundle.manifest)
