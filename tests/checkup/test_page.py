"""The page holds every verdict, is one file, and escapes what comes from data."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

from lamplighter.checkup.page import write_page
from lamplighter.checkup.result import Check, Checkup


class Balanced(HTMLParser):
    """Raises when tags do not close in order."""

    VOID = {"meta", "br", "img", "path", "use", "line", "circle", "rect", "image"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def page(checkup: Checkup, folder: Path) -> str:
    write_page(folder / "doctor.html", checkup)
    return (folder / "doctor.html").read_text(encoding="utf-8")


def test_the_page_is_whole(sound: Checkup, tmp_path: Path) -> None:
    text = page(sound, tmp_path)
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    for check in sound.checks:
        assert check.name in text and check.text.split("'")[0] in text
    for target in re.findall(r'href="#([^"]+)"', text):
        assert f'id="{target}"' in text
    assert text.count("<svg") == 6, "the lamp and five charts"
    assert "<script" not in text and not re.search(r"""(src|href)=["']https?:""", text)
    assert sound.rates is not None and sound.rates.weights in text
    assert "too slow" in text and "diverged" in text and "12 ms" not in text


def test_what_is_wrong_is_said_at_the_top(sound: Checkup, tmp_path: Path) -> None:
    wrong = dataclasses.replace(sound, checks=(Check("splits", "wrong", "rows <b>twice</b>"), *sound.checks))
    text = page(wrong, tmp_path)
    assert "would waste your time" in text and "1 wrong." in text
    assert "rows &lt;b&gt;twice&lt;/b&gt;" in text and "<b>twice</b>" not in text


def test_names_from_data_are_escaped(sound: Checkup, tmp_path: Path) -> None:
    data = {**sound.data, "classes": {"<img src=x>": 3, "b": 0}, "targets": ["<i>y</i> (category)"]}
    text = page(dataclasses.replace(sound, data=data), tmp_path)
    assert "&lt;img src=x&gt;" in text and "<img src=x>" not in text and "<i>y</i>" not in text


def test_a_page_without_much_to_show(sound: Checkup, tmp_path: Path) -> None:
    """No rate found before the first step, no comparison, no targets, no activations."""
    curve = dataclasses.replace(
        sound.curve, lrs=(), losses=(), smoothed=(), suggestions={}, chosen=None, reason="not finite from the start"
    )
    bare = dataclasses.replace(sound, curve=curve, rates=None, association=None, dead=())
    text = page(bare, tmp_path)
    Balanced().feed(text)
    assert "not finite from the start" in text and "Every activation" not in text
