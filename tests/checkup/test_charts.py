"""Charts are well-formed, in the page's colours, whatever the numbers."""

from __future__ import annotations

import dataclasses
import re
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from lamplighter.checkup import charts
from lamplighter.checkup.result import Checkup

NAN = float("nan")


def drawn(sound: Checkup) -> dict[str, Markup]:
    one, flow, rates = sound.one_batch, sound.flow, sound.rates
    assert rates is not None
    silent = dataclasses.replace(flow, layers=tuple(dataclasses.replace(x, gradient=None) for x in flow.layers))
    return {
        "one": charts.one_batch_chart(one),
        "one, no floor": charts.one_batch_chart(dataclasses.replace(one, floor=None, losses=(1.0, NAN))),
        "one, wrong sign": charts.one_batch_chart(dataclasses.replace(one, floor=float("-inf"))),
        "flow": charts.gradients_chart(flow),
        "flow, nothing": charts.gradients_chart(silent),
        "schedule": charts.schedule_chart(sound.schedule[0]),
        "schedule, one step": charts.schedule_chart((0.1,)),
        "schedule, long": charts.schedule_chart(tuple(0.1 for _ in range(30_000))),
        "rates": charts.rates_chart(rates),
    }


def test_every_chart_is_well_formed_and_follows_the_page(sound: Checkup) -> None:
    for name, svg in drawn(sound).items():
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img" and root.get("aria-label") and root.get("width") is None, name
        assert not re.findall(r"#[0-9a-f]{6}\b", svg), name
        assert "nan" not in svg.lower().replace("dominant", ""), name


def test_every_rate_is_numbered(sound: Checkup) -> None:
    assert sound.rates is not None
    texts = re.findall(r">([^<>]+)</text>", charts.rates_chart(sound.rates))
    assert {"1", "2", "3"} <= set(texts)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e9])
def test_gradients_of_any_size_have_an_axis(scale: float, sound: Checkup) -> None:
    layers = tuple(dataclasses.replace(x, gradient=scale * (x.gradient or 1.0)) for x in sound.flow.layers)
    svg = charts.gradients_chart(dataclasses.replace(sound.flow, layers=layers))
    assert len(re.findall(r"<text", svg)) >= 4
