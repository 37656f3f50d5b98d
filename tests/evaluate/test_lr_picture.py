"""The curve as a picture: for pages in the page's colours, as files in its own."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from lamplighter.core.errors import LamplighterError
from lamplighter.evaluate.lr_picture import lr_chart, picture
from lamplighter.train.lr_curve import RULES, LRCurve, smooth, sweep

LRS = sweep(1e-7, 10.0, 65)
LOSSES = [2.3 - 0.02 * (step % 3) for step in range(40)] + [2.2 - 0.1 * step for step in range(12)] + [3.0, 40.0]
SMOOTHED = smooth(LOSSES)
CURVE = LRCurve(
    lrs=tuple(LRS[:54]),
    losses=tuple(LOSSES),
    smoothed=tuple(SMOOTHED),
    suggestions={name: rule(LRS, SMOOTHED) for name, rule in RULES.items()},
    rule="steep",
    chosen=0.1,
    reason="where the loss falls fastest",
    ended="it diverged",
)
REFUSED = dataclasses.replace(CURVE, suggestions={}, chosen=None, reason="noise")


def test_pages_get_their_own_colours_and_files_fixed_ones(tmp_path: Path) -> None:
    chart = lr_chart(CURVE)
    assert ElementTree.fromstring(chart).get("role") == "img"
    assert not re.findall(r"#[0-9a-f]{6}\b", chart)
    picture(tmp_path / "lr.svg", CURVE)
    text = (tmp_path / "lr.svg").read_text()
    ElementTree.fromstring(text)
    assert "var(--" not in text
    assert not any(f"#0{i}0{i}0{i}" in text for i in range(1, 8)), "a placeholder is left"
    picture(tmp_path / "again.svg", CURVE)
    assert (tmp_path / "again.svg").read_bytes() == text.encode(), "the same curve, the same bytes"


def test_every_suggestion_is_marked_and_named() -> None:
    texts = re.findall(r">([^<>]+)</text>", lr_chart(CURVE))
    for name, lr in CURVE.suggestions.items():
        assert f"{name}: {lr:.2g}" in texts
    assert not any(name in text for text in re.findall(r">([^<>]+)</text>", lr_chart(REFUSED)) for name in RULES)


def test_the_explosion_does_not_flatten_the_curve() -> None:
    texts = re.findall(r">([\d.]+)</text>", lr_chart(CURVE))
    assert "40" not in texts and "2.0" in texts


def test_png_has_pixels(tmp_path: Path) -> None:
    picture(tmp_path / "lr.png", REFUSED)
    with Image.open(tmp_path / "lr.png") as image:
        assert image.size == (1080, 570)
        assert len(image.convert("RGB").getcolors(maxcolors=2**24) or []) > 20


def test_what_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(LamplighterError, match="end in"):
        picture(tmp_path / "lr.gif", CURVE)
    with pytest.raises(LamplighterError, match="no picture"):
        picture(tmp_path / "lr.svg", dataclasses.replace(CURVE, lrs=(), losses=(), smoothed=()))
    assert list(tmp_path.iterdir()) == []
