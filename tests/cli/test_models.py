"""``lamp models``: the list, and one architecture or run in a table and in pictures."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import torch
from PIL import Image

from lamplighter import models
from lamplighter.__main__ import main


def lamp(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


def width(path: Path) -> int:
    with Image.open(path) as picture:
        return picture.size[0]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_list_has_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert lamp("models", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == models.list()
    assert lamp("models") == 0
    assert "resnet18\tlamplighter.models.resnet:resnet18" in capsys.readouterr().out


def test_show_prints_the_table_and_writes_the_structure(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert lamp("models", "show", "cnn", "--set", "width=4", "--input", "1x16x16", "--kernels", "k.png") == 0
    out = capsys.readouterr().out
    assert "ConvNormAct" in out and "MACs a forward pass" in out and "last map: receptive field 21 x 21" in out
    assert "made up, change with --set: in_channels=1, num_classes=1000" in out
    assert ElementTree.parse(tmp_path / "cnn.svg").getroot().tag.endswith("svg")
    assert width(tmp_path / "k.png") > 50


def test_show_json_has_units_and_no_other_words(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert (
        lamp("models", "show", "lstm", "--input", "7", "--batch", "2", "--json", "--out", "x.svg", "--depth", "1") == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["layers"][0]["output_shape"] == [2, 2] and found["macs"] > 0 and found["receptive_field"] is None
    assert found["written"] == ["x.svg"] and (tmp_path / "x.svg").is_file()
    assert max(row["depth"] for row in found["layers"]) == 1


def test_weights_are_loaded_and_attention_is_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16, "num_hidden_layers": 2}
    model = models.create("bert", vocab_size=50, pad_token_id=0, num_classes=2, head="classifier", **small)
    torch.save(model.state_dict(), tmp_path / "w.pt")
    words = [word for key, value in {**small, "vocab_size": 50}.items() for word in ("--set", f"{key}={value}")]
    assert lamp("models", "show", "bert", *words, "--weights", "w.pt", "--attention", "a.png", "--layer", "0") == 0
    assert "Written: a.png" in capsys.readouterr().out
    assert lamp("models", "show", "bert", *words, "--attention", "a.png", "--layer", "9") == 2
    assert "numbered 0 to 1" in capsys.readouterr().err
    assert lamp("models", "show", "bert", *words[:-2], "--set", "vocab_size=60", "--weights", "w.pt") == 2


@pytest.mark.slow
def test_a_run_is_shown_with_its_best_weights(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert lamp("train", "digits", "--set", "train.epochs=1", "--set", "model.width=4", "--out", "run", "-q") == 0
    capsys.readouterr()
    assert lamp("models", "show", "run", "--feature-maps", "f.png", "--layer", "stages.0", "--kernels", "k.png") == 0
    out = capsys.readouterr().out
    assert "best weights of run" in out and "Written: run.svg" in out
    assert width(tmp_path / "f.png") > 50
    assert lamp("models", "show", "run", "--set", "width=3") == 2
    assert "a run has its own parameters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["resnt18"], "did you mean 'resnet18'"),
        (["cnn", "--set", "widht=3"], "widht: unknown key"),
        (["cnn", "--set", "width"], "write KEY=VALUE"),
        (["cnn", "--input", "3x-4"], "write numbers joined by x"),
        (["cnn", "--input", "3x4"], "takes images"),
        (["cnn", "--input", "3x8x8", "--attention", "a.png"], "no attention layers"),
        (["cnn", "--input", "3x8x8", "--out", "none/a.svg"], "the folder none does not exist"),
        (["cnn", "--input", "3x8x8", "--kernels", "a.gif"], "must end in .png or .svg"),
        (["lstm", "--feature-maps", "a.png"], "takes no images"),
        (["llama", "--attention", "a.png"], "too large to be made for a look"),
    ],
)
def test_mistakes(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lamp("models", "show", *words) == 2
    assert complaint in capsys.readouterr().err
