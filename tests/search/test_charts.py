"""Charts of many trainings: they draw what they are given, and survive what is odd."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from lamplighter.search import charts


def _texts(svg: Markup) -> list[str]:
    root = ElementTree.fromstring(str(svg))
    return ["".join(node.itertext()).strip() for node in root.iter() if node.tag.endswith("text")]


def test_history_and_curves() -> None:
    svg = charts.history_chart([0, 1, 2, 3], [0.5, None, 0.7, 0.6], "max", "scores")
    assert "trial" in _texts(svg) and 'aria-label="scores"' in svg
    assert charts.history_chart([0, 1], [None, 0.4], "min", "scores")
    assert "epoch" in _texts(charts.curves_chart([{1: 0.5, 2: 0.6}, {1: 0.3}], 0, "curves"))


def test_the_best_so_far_never_turns_back() -> None:
    def heights(mode: str) -> list[float]:
        svg = charts.history_chart([0, 1, 2, 3], [0.5, 0.2, 0.9, 0.4], mode, "scores")
        steps = re.findall(r'<path d="M ([^"]*)" clip-path="[^"]*" style="fill: none; stroke: var\(--now\)', svg)
        return [float(pair.split()[1]) for pair in re.split(r"L ", steps[-1].replace("\n", " "))]

    up, down = heights("max"), heights("min")
    assert all(b <= a + 1e-6 for a, b in itertools.pairwise(up)), "in SVG, up is smaller"
    assert all(b >= a - 1e-6 for a, b in itertools.pairwise(down))


@pytest.mark.parametrize(
    "choices", [([8], [64, 64]), ("relu", "$gelu_1$"), (True, False), ({"name": "mlp"}, {"name": "cnn"})]
)
def test_choices_stand_side_by_side_in_their_order(choices: tuple[object, ...]) -> None:
    svg = charts.slice_chart([choices[1], choices[0], choices[1]], [0.1, 0.2, 0.3], 2, "slice", choices=choices)
    names = [charts._plain(each).replace("\\", "") for each in choices]
    assert [text.replace("\\", "") for text in _texts(svg) if text.replace("\\", "") in names] == names


def test_numbers_on_an_axis_and_folds() -> None:
    assert charts.slice_chart([0.001, 0.1], [0.1, 0.2], 1, "slice", log=True)
    assert "fold" in _texts(charts.folds_chart([0.8, 0.9, 0.85], 0.85, 0.7, 1.0, "folds"))
