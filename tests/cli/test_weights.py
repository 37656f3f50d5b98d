"""``lamp weights``: added, listed, verified, removed; and used from a recipe."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lamplighter import models
from lamplighter.__main__ import main


def lamp(*words: str) -> int:
    try:
        main(list(words))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAMPLIGHTER_WEIGHTS", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "store"


@pytest.fixture
def resnet(tmp_path: Path) -> Path:
    path = tmp_path / "resnet18.pth"
    torch.save(models.create("resnet18", in_channels=3, num_classes=1000).state_dict(), path)
    return path


def test_add_list_verify_remove(resnet: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = hashlib.sha256(resnet.read_bytes()).hexdigest()
    assert lamp("weights", "add", str(resnet), "--name", "my-resnet", "--sha256", digest) == 0
    added = capsys.readouterr().out
    assert "my-resnet: 46.8 MB, resnet18" in added and digest in added and "transfer: {weights: my-resnet}" in added
    assert lamp("weights", "list") == 0
    assert capsys.readouterr().out.startswith(f"my-resnet\tresnet18\t46.8 MB\t122\t{digest[:12]}\t")
    assert lamp("weights", "list", "--json") == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["sha256"], entry["tensors"], entry["parameters"]) == (digest, 122, 11_699_132)
    assert lamp("weights", "verify") == 0
    assert "my-resnet: as it was added" in capsys.readouterr().out
    with (store / "my-resnet" / "resnet18.pth").open("r+b") as file:
        file.seek(1000)
        file.write(b"x")
    assert lamp("weights", "verify", "my-resnet") == 2
    assert "changed or damaged" in capsys.readouterr().err
    assert lamp("weights", "remove", "my-resnet") == 0
    assert lamp("weights", "list") == 0
    assert "The store is empty" in capsys.readouterr().out


def test_what_must_not_be_added(resnet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lamp("weights", "add", str(resnet), "--name", "x", "--sha256", "0" * 64) == 2
    torch.save({"args": argparse.Namespace()}, tmp_path / "pickled.pt")
    assert lamp("weights", "add", "pickled.pt", "--name", "x") == 2
    assert "argparse.Namespace" in capsys.readouterr().err
    assert lamp("weights", "add", "nothing.pt", "--name", "x") == 2
    assert lamp("weights", "remove", "x") == 2
    assert lamp("weights", "list") == 0
    assert "empty" in capsys.readouterr().out


def test_weights_of_the_store_train_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cnn = models.create("cnn", in_channels=3, num_classes=7, width=4, stages=1)
    save_file({f"backbone.{name}": tensor for name, tensor in cnn.state_dict().items()}, "colours.safetensors")
    assert lamp("weights", "add", "colours.safetensors", "--name", "colours") == 0
    Path("recipe.yaml").write_text(
        "name: t\nthreads: 1\ndata: {name: digits}\nmodel: {name: cnn, width: 4, stages: 1}\n"
        "task: {name: classification}\ntransfer: {weights: colours, freeze_up_to: stem}\n"
        "train: {epochs: 1, precision: fp32}\n"
    )
    assert lamp("train", "recipe.yaml", "--out", "run", "--quiet") == 0
    record = next(line for line in Path("run/metrics.jsonl").read_text().splitlines() if '"transfer"' in line)
    assert "3 channels in the file, 1 here; their kernels are added up" in record
    assert lamp("train", "recipe.yaml", "--out", "other", "--set", "transfer.weights=colour", "--quiet") == 2
    assert "did you mean 'colours'?" in capsys.readouterr().err
