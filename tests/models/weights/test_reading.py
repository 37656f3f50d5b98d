"""Files of weights: every kind that is read, and everything that must not be."""

from __future__ import annotations

import argparse
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lamplighter.core.errors import WeightsError
from lamplighter.core.weights import find
from lamplighter.models.weights.reading import nested, read

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2), "count": torch.tensor(3)}


def equal(read: dict[str, Tensor], expected: dict[str, Tensor] = TENSORS) -> bool:
    return read.keys() == expected.keys() and all(torch.equal(read[name], t) for name, t in expected.items())


def test_safetensors(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "w.safetensors")
    assert equal(read(find(tmp_path / "w.safetensors")))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nest", [None, "state_dict", "model", "model_state_dict"])
def test_torch_files_with_and_without_a_nest(tmp_path: Path, zipped: bool, nest: str | None) -> None:
    saved: Any = TENSORS if nest is None else {"epoch": 3, "optimizer": {"state": {}}, nest: TENSORS}
    torch.save(saved, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    assert equal(read(find(tmp_path / "w.pt")))


def test_the_content_decides_not_the_ending(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "w.pt")
    torch.save(TENSORS, tmp_path / "w.safetensors")
    assert equal(read(find(tmp_path / "w.pt"))) and equal(read(find(tmp_path / "w.safetensors")))


def sharded(folder: Path, second: dict[str, Tensor]) -> Path:
    save_file({"a.weight": TENSORS["a.weight"]}, folder / "model-00001-of-00002.safetensors")
    save_file(second, folder / "model-00002-of-00002.safetensors")
    table = dict.fromkeys(second, "model-00002-of-00002.safetensors") | {"a.weight": "model-00001-of-00002.safetensors"}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return index


def test_shards_are_put_together(tmp_path: Path) -> None:
    index = sharded(tmp_path, {"a.bias": TENSORS["a.bias"], "count": TENSORS["count"]})
    assert equal(read(find(index))) and equal(read(find(tmp_path)))


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    index = sharded(tmp_path, {"a.weight": torch.zeros(2, 3), "a.bias": torch.zeros(2)})
    with pytest.raises(WeightsError, match=r"holds 'a\.weight', which another file"):
        read(find(index))


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_is_ever_unpickled(tmp_path: Path, zipped: bool) -> None:
    sprung = tmp_path / "sprung"
    torch.save({"a": torch.zeros(1), "x": Trap(sprung)}, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"holds 'posix\.system' objects beside tensors.*it is refused"):
        read(find(tmp_path / "w.pt"))
    (tmp_path / "w.pt").write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(WeightsError, match=r"w\.pt"):
        read(find(tmp_path / "w.pt"))
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        ({"state_dict": TENSORS, "args": argparse.Namespace(lr=1)}, r"holds 'argparse\.Namespace' objects"),
        (torch.nn.Linear(2, 2), r"holds 'torch\.nn\.modules\.linear\.Linear' objects"),
        ({"epoch": 1, "lr": 0.1}, "holds no tensors, only 'epoch', 'lr'"),
        ({}, "only an empty mapping"),
        ([torch.zeros(1)], "holds a list"),
        (torch.zeros(1), "holds a Tensor"),
        ({"a": torch.tensor([1.0, float("nan")])}, "'a' has values that are not finite"),
        ({"a": torch.tensor([float("inf")], dtype=torch.bfloat16)}, "'a' has values that are not finite"),
    ],
)
def test_what_holds_no_weights_is_refused_and_no_advice_is_to_unpickle(tmp_path: Path, saved: Any, said: str) -> None:
    torch.save(saved, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=said) as caught:
        read(find(tmp_path / "w.pt"))
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, these are no weights",
        b"PK\x03\x04 cut off",
        pickle.dumps({"a": 1}),
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        b"\x10\0\0\0\0\0\0\0{not a header in json}",
    ],
)
def test_broken_files_are_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.pt: ") as caught:
        read(find(tmp_path / "w.pt"))
    assert "\n" not in str(caught.value)


def test_a_cut_off_safetensors_file_is_damaged(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "w.safetensors")
    whole = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(whole[:-5])
    with pytest.raises(WeightsError, match="damaged"):
        read(find(tmp_path / "w.safetensors"))


def test_nests_in_nests_are_opened() -> None:
    assert nested({"model": {"state_dict": {"x": torch.zeros(1)}, "count": torch.zeros(1)}}, "f").keys() == {"x"}
