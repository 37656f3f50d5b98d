"""The gate refuses what is subtly wrong, says where, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.bundle import parity
from lamplighter.bundle.runtime import Bundle, load_bundle
from lamplighter.core.errors import BundleError
from lamplighter.core.seeding import generator
from lamplighter.core.signature import TensorSpec


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)


class BranchesOnBatchSize(Net):
    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x)
        return logits if x.shape[0] < 5 else logits + 1


class ReshapesToTheExample(Net):
    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.reshape(3, 4))
        return logits


class DividesByTheExamplesSize(Net):
    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x)
        return logits - logits.sum(0) / int(x.shape[0])


class NormalisesOverTheBatch(Net):
    """Batch statistics at serving time: each confidence depends on the neighbours, in torch and ONNX alike."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x)
        return logits / logits.square().mean()


class CountsItsCalls(Net):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        logits: Tensor = self.linear(x)
        return logits + self.calls


class DropsAtRandom(Net):
    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(F.dropout(x, 0.5, training=True))
        return logits


class WorksInPlace(Net):
    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x)
        x.mul_(0.5)
        return logits


class Pools(nn.Module):
    """(N, 3, H, W) of any H and W."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.relu(self.conv(x)).mean((2, 3)))
        return logits


class BranchesOnWidth(Pools):
    """Torch answers otherwise for wide images; the graph has the branch of the example alone."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (1 if x.shape[3] > 9 else 0)


@pytest.mark.parametrize(
    "network",
    [
        ReshapesToTheExample,
        NormalisesOverTheBatch,
        CountsItsCalls,
        pytest.param(DividesByTheExamplesSize, marks=pytest.mark.slow),
        pytest.param(DropsAtRandom, marks=pytest.mark.slow),
    ],
)
def test_wrong_networks_are_refused_and_nothing_is_left(
    network: type[nn.Module], export: Any, random_weights: Callable[..., nn.Module], tmp_path: Path
) -> None:
    with pytest.raises(BundleError) as caught:
        export(random_weights(network()))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_error_names_what_differs_and_the_old_bundle_stays(export: Any, random_weights: Any) -> None:
    out = export(random_weights(nn.Linear(4, 3)))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(BundleError, match=r"output 'logits', batches of 7.*: largest difference 1,") as caught:
        export(random_weights(BranchesOnBatchSize()))
    assert "no bundle was written" in str(caught.value)
    assert [path.name for path in out.parent.iterdir()] == ["bundle"]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    load_bundle(out)


def test_a_network_that_works_in_place_does_not_fool_the_gate(export: Any, random_weights: Any) -> None:
    proof = load_bundle(export(random_weights(WorksInPlace()))).manifest.parity
    assert proof.max_abs < 1e-5


def test_what_the_proof_says(linear_bundle: Bundle) -> None:
    proof = linear_bundle.manifest.parity
    assert proof.batch_sizes == (1, 2, 7)
    assert proof.rows == 27  # all validation rows, fewer than 64
    assert 0 <= proof.max_abs < 1e-5
    assert proof.labels_equal


def test_varying_dimensions_are_varied(export: Any, random_weights: Any, arrays: Any) -> None:
    x = generator(0, "images").normal(size=(40, 3, 8, 9)).astype(np.float32)
    source = arrays(x, shape=(3, None, None))
    bundle = load_bundle(export(random_weights(Pools()), source))
    for height, width in ((8, 9), (3, 30), (17, 4)):
        logits = bundle.run({"x": np.ones((5, 3, height, width), np.float32)})["logits"]
        assert logits.shape == (5, 3)


def test_a_network_wrong_for_another_width_is_refused(export: Any, random_weights: Any, arrays: Any) -> None:
    x = generator(0, "images").normal(size=(40, 3, 8, 9)).astype(np.float32)
    with pytest.raises(BundleError, match=r"dimension (2 and )?3 (one longer|twice as long)"):
        export(random_weights(BranchesOnWidth()), arrays(x, shape=(3, None, None)))


def test_each_varying_dimension_is_varied_alone_and_with_the_others() -> None:
    variations = list(parity._variations(_WithShape((3, None, None)), {"x": np.zeros((2, 3, 8, 9), np.float32)}))  # type: ignore[arg-type]
    shapes = [tensors["x"].shape[2:] for _, tensors in variations]
    assert shapes == [(9, 9), (16, 9), (4, 9), (8, 10), (8, 18), (8, 4), (9, 10), (16, 18), (4, 4)]


def test_padded_rows_repeat_what_is_before_the_padding_and_never_grow_too_long() -> None:
    text: dict[str, Any] = {"shape": (None,), "pad": 0, "longest": 4}
    ids, mask = TensorSpec(name="input_ids", dtype="int64", **text), TensorSpec(name=parity.MASK, dtype="bool", **text)
    decoder = TensorSpec(name="decoder_input_ids", dtype="int64", shape=(None,), group="decoder")
    tensors = {
        "input_ids": np.array([[5, 6, 0], [7, 8, 9]]),
        parity.MASK: np.array([[True, True, False], [True, True, True]]),
        "decoder_input_ids": np.array([[1], [1]]),
    }
    bundle: Any = _WithSpecs((ids, mask, decoder))
    found = dict(parity._variations(bundle, tensors))
    longer = found["dimension 1 one longer"]
    assert longer["input_ids"].tolist() == [[5, 6, 5, 6], [7, 8, 9, 7]] and longer[parity.MASK].all()
    assert longer["decoder_input_ids"].shape == (2, 1)
    assert found["dimension 1 twice as long"]["input_ids"].shape == (2, 4)
    assert found["dimension 1 half as long"]["input_ids"].tolist() == [[5], [7]]
    assert found["dimension decoder1 twice as long"]["decoder_input_ids"].shape == (2, 2)


class _WithSpecs:
    def __init__(self, specs: tuple[TensorSpec, ...]) -> None:
        self.manifest = type("M", (), {"signature": type("S", (), {"tensors": specs})()})()


class _WithShape:
    """As much of a bundle as `parity._variations` reads."""

    def __init__(self, shape: tuple[int | None, ...]) -> None:
        spec = TensorSpec(name="x", dtype="float32", shape=shape)
        self.manifest = type("M", (), {"signature": type("S", (), {"tensors": (spec,)})()})()


class Skewed:
    """A source whose training tensors are one bit off what its pipeline makes."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def split(self, name: str) -> Any:
        rows = self.source.split(name)
        x = rows.tensors["x"].numpy().copy()
        x[:, 1] = np.nextafter(x[:, 1], np.inf)
        rows.tensors = {**rows.tensors, "x": torch.from_numpy(x)}
        return rows


def test_training_and_serving_cannot_skew(export: Any, random_weights: Any, points: Any, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="validation row 0 the tensor 'x' differs from what training saw"):
        export(random_weights(nn.Linear(4, 3)), Skewed(points))
    assert list(tmp_path.iterdir()) == []


def test_few_rows_are_repeated_and_large_values_compared_by_ratio(
    export: Any, random_weights: Any, arrays: Any
) -> None:
    """Float32 cannot hold 1e-4 of a house price; 1e-4 of the price it can."""
    source = arrays(generator(0, "prices").normal(size=(10, 4)).astype(np.float32), labels=())
    module = random_weights(nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 2)))
    with torch.no_grad():
        module.get_parameter("2.weight").mul_(1e6)
    proof = load_bundle(export(module, source, kind="regression", outputs=("value",), scores={})).manifest.parity
    assert proof.rows == 3
    assert proof.max_abs < 100


def test_nan_counts_as_infinitely_wrong() -> None:
    worst = parity.Worst()
    worst.add(np.array([[np.nan]]), np.array([[1.0]]), "output")
    assert worst.excess == np.inf


def test_the_allowed_difference_is_the_stated_one() -> None:
    """1e-4, and 1e-5 of the largest number of the row: rounding of a sum of 1000 reaches its small neighbour."""
    torchs = np.array([[1000.0, 0.0]])
    worst = parity.Worst()
    worst.add(torchs + np.array([0, 0.0100]), torchs, "close")
    assert worst.excess <= 0
    worst.add(torchs + np.array([0, 0.0102]), torchs, "far")
    assert worst.excess > 0
    assert worst.where.startswith("far: largest difference 0.0102")
    assert worst.max_abs == pytest.approx(0.0102)
