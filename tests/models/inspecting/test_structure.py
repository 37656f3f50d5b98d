"""The structure of networks: what becomes a box, what is grouped, where flows meet, and the picture of it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lamplighter import models
from lamplighter.core.errors import LamplighterError
from lamplighter.models.inspecting.blocks import blocks_of
from lamplighter.models.inspecting.flow import follow
from lamplighter.models.inspecting.structure import Structure, structure
from lamplighter.models.inspecting.structure_svg import draw
from lamplighter.models.inspecting.wording import describe, kind_of

IDS = torch.arange(5, 21).view(1, 16)
TOKENS = {"input_ids": IDS, "attention_mask": torch.ones(1, 16, dtype=torch.bool)}
SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}


def titles(found: Structure) -> list[tuple[str, int, int]]:
    return [(box.title, box.count, box.skips) for box in found.boxes]


def test_resnet18() -> None:
    found = structure(models.create("resnet18", in_channels=3, num_classes=10), torch.zeros(1, 3, 64, 64))
    assert titles(found) == [
        ("input", 1, 0), ("Conv2d", 1, 0), ("MaxPool2d", 1, 0), ("BasicBlock", 2, 1), *[("BasicBlock", 1, 1)] * 6,
        ("AdaptiveAvgPool2d", 1, 0), ("Linear", 1, 0), ("output", 1, 0),
    ]  # fmt: skip
    assert found.boxes[1].names == ["conv1", "bn1", "relu"] and found.boxes[1].details[-2:] == ["BatchNorm2d", "ReLU"]
    assert found.boxes[3].names == ["layer1.0", "layer1.1"]
    assert sum(box.params for box in found.boxes) == 11_181_642
    assert [arrow.shape for arrow in found.into(found.boxes[-1])] == [(1, 10)]
    assert len(found.arrows) == len(found.boxes) - 1  # a chain


def test_bert_of_twelve_layers_is_one_box_with_two_skips() -> None:
    model = models.create(
        "bert", vocab_size=30, pad_token_id=0, num_classes=3, head="classifier", num_hidden_layers=12, **SMALL
    )
    found = structure(model, TOKENS)
    layer = next(box for box in found.boxes if box.count > 1)
    assert (layer.count, layer.skips, layer.kind) == (12, 2, "attention")
    assert len(found.boxes) <= 7 and found.boxes[0].title == "input_ids"  # the mask is not drawn


def test_the_skips_of_a_u_net_are_arrows_into_concatenations() -> None:
    found = structure(models.create("unet", in_channels=1, num_classes=2, width=4, depth=3), torch.zeros(1, 1, 32, 32))
    meetings = [box for box in found.boxes if box.title == "concat"]
    assert len(meetings) == 3
    for level, meeting in zip((2, 1, 0), meetings):
        sources = [arrow.source for arrow in found.into(meeting)]
        assert len(sources) == 2 and any(box.names == [f"down.{level}"] for box in sources)


def test_an_encoder_feeds_every_layer_of_the_decoder() -> None:
    model = models.create(
        "transformer",
        vocab_size=30,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        d_model=16,
        nhead=2,
        dim_feedforward=16,
    )
    found = structure(model, {**TOKENS, "decoder_input_ids": IDS[:, :9]})
    decoder = next(box for box in found.boxes if box.title == "TransformerDecoderLayer")
    assert decoder.count == 2 and decoder.skips == 3
    assert len(found.into(decoder)) == 2  # what it has written so far, and the memory
    assert [box.title for box in found.boxes if box.kind == "end"] == ["input_ids", "decoder_input_ids", "output"]


class Branching(nn.Module):
    """A sum of two blocks outside of them, a gate, one layer called twice, and a table that nothing flows into."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.again = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.table = nn.Embedding(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.one(x) + self.two(x)
        h = self.again(self.again(h)) * h.to(x)
        return h + self.table(torch.zeros((), dtype=torch.long))


def test_where_flows_meet_outside_of_blocks() -> None:
    found = structure(Branching(), torch.zeros(2, 4))
    assert titles(found) == [
        ("input", 1, 0), ("Linear", 1, 0), ("Linear", 1, 0), ("+", 1, 0), ("Linear", 2, 0), ("×", 1, 0),
        ("Embedding", 1, 0), ("+", 1, 0), ("output", 1, 0),
    ]  # fmt: skip
    plus = found.boxes[3]
    assert {a.source.names[0] for a in found.into(plus)} == {"one", "two"}
    assert {a.target.title for a in found.out_of(plus)} == {"Linear", "×"}


class Reused(nn.Module):
    """Two equal layers in a row, the first of which feeds something else as well."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.one(x)
        return h + self.two(h)


def test_equal_boxes_are_not_grouped_when_something_leaves_between_them() -> None:
    found = structure(Reused(), torch.zeros(2, 4))
    assert titles(found) == [("input", 1, 0), ("Linear", 1, 0), ("Linear", 1, 0), ("+", 1, 0), ("output", 1, 0)]
    assert {a.source.names[0] for a in found.into(found.boxes[3])} == {"one", "two"}


class Block(nn.Module):
    """Sums that are skips, and sums that are not, by name."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.a, self.b = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "identity":
            return x + self.b(self.a(x).relu())
        if self.kind == "in place":
            h = self.b(self.a(x).relu_())
            h += x
            return h
        if self.kind == "projection":
            return self.b(self.a(x).relu()) + self.norm(self.a(x))
        if self.kind == "two branches":
            return self.a(x) + self.b(x)
        return self.a(x) + 1.0


@pytest.mark.parametrize(
    ("kind", "skips"), [("identity", 1), ("in place", 1), ("projection", 1), ("two branches", 0), ("constant", 0)]
)
def test_what_counts_as_a_skip(kind: str, skips: int) -> None:
    model = nn.Sequential(Block(kind), Block(kind))
    assert [node.skips for node in follow(model, torch.zeros(1, 2, 4, 4), {"0", "1"}).nodes if node.module] == [
        skips
    ] * 2


def test_blocks_are_what_repeats_or_stands_in_a_list() -> None:
    assert blocks_of(nn.Sequential(Block("identity"), nn.ReLU(), nn.Sequential(nn.Linear(2, 2)))) == {"0", "1", "2.0"}
    resnet = blocks_of(models.create("resnet18", in_channels=3, num_classes=2))
    assert {"conv1", "layer1.0", "layer4.1", "fc"} <= resnet and not any("downsample" in path for path in resnet)
    assert blocks_of(nn.Linear(2, 2)) == {""}


def test_norms_activations_and_dropout_go_into_the_layer_before() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(18, 2)
    )
    found = structure(net, torch.zeros(1, 1, 8, 8))
    assert [box.title for box in found.boxes] == ["input", "Conv2d", "Linear", "output"]
    assert found.boxes[1].details == ["1 → 2", "3×3", "stride 2", "BatchNorm2d", "ReLU", "Dropout", "Flatten"]


def test_words_for_modules() -> None:
    assert describe(nn.LSTM(3, 4, num_layers=2, bidirectional=True)) == ("LSTM", ["3 → 4", "2 layers", "bidirectional"])
    assert describe(nn.Conv2d(4, 4, (1, 3), dilation=2, groups=4))[1] == ["4 → 4", "1×3", "dilation 2", "4 groups"]
    assert describe(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.MaxPool2d(2)))[0] == "Conv2d + MaxPool2d"
    kinds = [
        nn.LSTM(1, 1),
        nn.LayerNorm(3),
        nn.Embedding(1, 1),
        nn.AvgPool1d(2),
        nn.MultiheadAttention(2, 1),
        nn.Hardswish(),
        Block(""),
    ]
    assert [kind_of(module) for module in kinds] == [
        "recurrent",
        "small",
        "embedding",
        "pool",
        "attention",
        "small",
        "conv",
    ]


def boxes_of(svg: str) -> list[tuple[float, float, float, float]]:
    root = ElementTree.fromstring(svg)
    found = [e.attrib for e in root.iter("{http://www.w3.org/2000/svg}rect") if "x" in e.attrib]
    return [
        (float(a["x"]), float(a["y"]), float(a["x"]) + float(a["width"]), float(a["y"]) + float(a["height"]))
        for a in found
    ]


@pytest.mark.parametrize("name", ["resnet18", "unet", "seq2seq", "branching"])
def test_boxes_do_not_overlap_and_lie_within_the_picture(name: str) -> None:
    special = {"vocab_size": 30, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    if name == "branching":
        found = structure(Branching(), torch.zeros(2, 4))
    elif name == "seq2seq":
        found = structure(models.create("seq2seq", **special), {**TOKENS, "decoder_input_ids": IDS[:, :9]})
    else:
        found = structure(models.create(name, in_channels=1, num_classes=2), torch.zeros(1, 1, 32, 32))
    for box in found.boxes:
        box.count = 1  # a stack overlaps itself
    svg = draw(found, name)
    root, placed = ElementTree.fromstring(svg), boxes_of(svg)
    assert len(placed) == len(found.boxes)
    for i, (left, top, right, bottom) in enumerate(placed):
        assert 0 < left < right < float(root.attrib["width"]) and 0 < top < bottom < float(root.attrib["height"])
        for other in placed[i + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
    shapes = [
        e.text for e in root.iter("{http://www.w3.org/2000/svg}text") if e.text and e.text.replace(" × ", "").isdigit()
    ]
    assert len(shapes) == len(found.arrows)


def test_saving_and_foreign_words(tmp_path: Path) -> None:
    class Strange(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.inner(x)
            return out

    found = structure(Strange(), torch.zeros(1, 2))
    found.save(tmp_path / "a.svg", title='<script> & "words"')
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert root.attrib["aria-label"] == '<script> & "words"' and "<script>" not in (tmp_path / "a.svg").read_text()


def test_an_input_that_does_not_fit_names_the_layer() -> None:
    with pytest.raises(LamplighterError, match=r"layer '0' \(Linear.*got \(1, 3\)"):
        structure(nn.Sequential(nn.Linear(2, 2)), torch.zeros(1, 3))
