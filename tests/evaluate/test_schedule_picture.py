"""The picture of a schedule shows the numbers it was given, and is whole or absent."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from PIL import Image

from lamplighter.core.errors import LamplighterError
from lamplighter.evaluate.schedule_picture import picture
from lamplighter.optim.preview import rates
from lamplighter.optim.schedules.decay import step
from lamplighter.optim.schedules.wsd import wsd


def line(svg: str) -> list[tuple[float, float]]:
    """Corners of the drawn line, in the picture's units; y points down."""
    path = max(re.findall(r'<path d="([^"]+)"[^>]*style="fill: none; stroke: #b45309', svg), key=len)
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", path)]


def test_the_line_goes_through_the_rates(tmp_path: Path) -> None:
    values = rates(wsd(100), 0.3, 100)
    picture(tmp_path / "lr.svg", values, steps_per_epoch=10, title="wsd")
    svg = (tmp_path / "lr.svg").read_text(encoding="utf-8")
    corners = line(svg)
    zero, top = max(y for _, y in corners), min(y for _, y in corners)
    left, right = corners[0][0], corners[-1][0]
    for x, y in corners:  # the path leaves out points on straight lines
        at = 99 * (x - left) / (right - left)
        share = (zero - y) / (zero - top)
        expected = (values[round(at)] - min(values)) / (max(values) - min(values))
        assert at == pytest.approx(round(at), abs=0.02)
        assert share == pytest.approx(expected, abs=0.005)
    assert all(word in svg for word in ("optimizer step", "learning rate", "epoch", ">wsd<"))


def test_the_same_rates_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        picture(tmp_path / name, [0.1, 0.2, 0.1])
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.svg", "b.svg"]


def test_png(tmp_path: Path) -> None:
    picture(tmp_path / "lr.png", [0.1, 0.2, 0.1])
    with Image.open(tmp_path / "lr.png") as image:
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(maxcolors=1 << 20) or []) > 3


def test_a_long_training_keeps_its_jumps(tmp_path: Path) -> None:
    """200,000 steps are thinned out, but a fall stays a vertical line at its step."""
    values = rates(step(200_000, step_size=77_777), 1.0, 200_000)
    picture(tmp_path / "lr.svg", values)
    corners = line((tmp_path / "lr.svg").read_text(encoding="utf-8"))
    left, right = corners[0][0], corners[-1][0]
    falls = [a for a, b in itertools.pairwise(corners) if b[1] - a[1] > 0.05 * (corners[-1][1] - corners[0][1])]
    at = [199_999 * (x - left) / (right - left) for x, _ in falls]
    assert at == pytest.approx([77_776, 155_553], abs=2)
    assert len(corners) < 3000


def test_one_step(tmp_path: Path) -> None:
    picture(tmp_path / "lr.svg", [0.1])
    assert (tmp_path / "lr.svg").stat().st_size > 1000


@pytest.mark.parametrize("name", ["lr.pdf", "lr", "lr.jpg"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LamplighterError, match=r"\.svg or \.png"):
        picture(tmp_path / name, [0.1])
    assert not list(tmp_path.iterdir())


def test_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(LamplighterError, match="0 steps"):
        picture(tmp_path / "lr.svg", [])
