"""Charts are well-formed SVG in the page's colours, with names of their own."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup

from lamplighter.evaluate import charts
from lamplighter.metrics.calibration import reliability
from lamplighter.metrics.curves import precision_recall_curve, roc_curve

NAN = float("nan")


def _all() -> dict[str, Markup]:
    rng = np.random.default_rng(0)
    y = rng.normal(size=3000)
    curve = reliability(np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]), np.array([0, 0, 0]))
    return {
        "epochs": charts.epochs_chart([1, 2, 3], [3.0, 2.0, 1.0], [3.0, NAN, 2.0], best=3, about="loss"),
        "log": charts.epochs_chart([1, 2, 3], [300.0, 2.0, 0.001], [3.0, NAN, 2.0], best=2, about="loss"),
        "one": charts.epochs_chart([4], [NAN], [0.5], best=4, about="loss"),
        "none": charts.epochs_chart([1, 2], [NAN, NAN], [NAN, NAN], best=None, about="loss"),
        "calibration": charts.calibration_chart(curve, curve, "calibration"),
        "uncalibrated": charts.calibration_chart(curve, None, "calibration"),
        "truth": charts.against_truth_chart(y * 1e6, y, "truth"),
        "equal": charts.against_truth_chart(np.ones(3), np.ones(3), "truth"),
        "residuals": charts.residuals_chart(y, "residuals"),
        "exact": charts.residuals_chart(np.zeros(5), "residuals"),
        "roc": charts.roc_chart(roc_curve(y, y + rng.normal(size=3000) > 0), (0.1, 0.8), "ROC"),
        "precision-recall": charts.precision_recall_chart(
            precision_recall_curve(y, y + rng.normal(size=3000) > 0), (0.5, NAN), 0.5, "precision and recall"
        ),
    }


@pytest.fixture(scope="module")
def drawn() -> dict[str, Markup]:
    return _all()


def test_every_chart_is_well_formed_and_sized_by_the_page(drawn: dict[str, Markup]) -> None:
    for name, svg in drawn.items():
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img" and root.get("aria-label") and root.get("viewBox"), name
        assert root.get("width") is None and root.get("height") is None, name


def test_colours_are_the_pages_and_fonts_are_the_readers(drawn: dict[str, Markup]) -> None:
    for name, svg in drawn.items():
        colours = set(re.findall(r"#[0-9a-f]{6}\b", svg))
        assert not colours, f"{name}: {colours}"
        assert "var(--ink)" in svg or "var(--quiet)" in svg
        assert "DejaVu" not in svg and "<style" not in svg and "<metadata" not in svg, name
        assert "<text" in svg and "$" not in svg, name


def test_ids_of_different_charts_do_not_collide_and_references_lead_somewhere(drawn: dict[str, Markup]) -> None:
    seen: set[str] = set()
    for name in ("epochs", "log", "calibration", "truth", "residuals", "roc", "precision-recall"):
        ids = set(re.findall(r'\bid="([^"]+)"', drawn[name]))
        assert not ids & seen
        seen |= ids
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', drawn[name])) <= ids


def test_the_same_numbers_give_the_same_bytes(drawn: dict[str, Markup]) -> None:
    y = np.random.default_rng(0).normal(size=3000)
    assert charts.residuals_chart(y, "residuals") == drawn["residuals"]
    assert charts.against_truth_chart(y * 1e6, y, "truth") == drawn["truth"]


def test_what_people_hear_is_escaped() -> None:
    svg = charts.residuals_chart(np.arange(5.0), '"><script>')
    assert "<script>" not in svg


def test_at_most_a_thousand_points_are_drawn_the_extremes_among_them(drawn: dict[str, Markup]) -> None:
    points = re.findall(r"<use [^>]*fill-opacity: 0.45", drawn["truth"])
    assert len(points) == 1000


def test_the_marked_epoch_is_drawn_on_the_validation_curve() -> None:
    with_best = charts.epochs_chart([1, 2], [1.0, 2.0], [2.0, 1.0], best=2, about="a")
    without = charts.epochs_chart([1, 2], [1.0, 2.0], [2.0, 1.0], best=None, about="a")
    assert with_best.count("<use") > without.count("<use")


def test_a_curve_of_many_thresholds_keeps_its_ends_and_stays_small(drawn: dict[str, Markup]) -> None:
    kept = charts._thinned(3001)
    assert len(kept) <= 1000 and (kept[0], kept[-1]) == (0, 3000)
    assert len(drawn["roc"]) < 80_000


def test_the_threshold_in_use_is_marked_where_it_is_defined() -> None:
    curve = precision_recall_curve(np.array([0.9, 0.1]), np.array([1, 0]))
    marked = charts.precision_recall_chart(curve, (1.0, 1.0), 0.5, "a")
    assert marked.count("<use") == charts.precision_recall_chart(curve, (0.0, NAN), 0.5, "a").count("<use") + 1
