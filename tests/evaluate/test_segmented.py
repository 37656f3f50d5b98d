"""What the report says of a segmentation: numbers true to the counts, the worst images first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.evaluate.overfitting import constant_answer
from lamplighter.evaluate.report import write_report
from lamplighter.evaluate.segmented import segmented
from lamplighter.evaluate.views import Judged
from lamplighter.metrics import segmentation

LABELS = ("sky", "<sea>", "sand")
SIGNATURE = Signature(
    inputs=(Column(name="image", kind="image", shape=(4, 5, 1)),),
    tensors=(TensorSpec(name="x", dtype="uint8", shape=(1, 4, 5)),),
    targets=(Column(name="mask", kind="mask", categories=LABELS),),
)
CONFUSION = np.array(
    [
        [[10, 0, 0], [5, 5, 0], [0, 0, 0]],
        [[15, 5, 0], [0, 0, 0], [0, 0, 0]],
        [[20, 0, 0], [0, 0, 0], [0, 0, 0]],
    ]
)
"""Three images of 20 pixels; nothing is sand."""


def judged(asked: list[list[int]] | None = None) -> Judged:
    def answered(positions: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        if asked is not None:
            asked.append(positions.tolist())
        truth = np.zeros((4, 5), np.int64)
        return [(np.full((4, 5, 1), 9, np.uint8), truth, np.eye(4, 5, dtype=np.int64)) for _ in positions]

    outputs = {"confusion": CONFUSION, "log_loss": np.array([9.0, 6.0, 1.0])}
    extra: dict[str, Any] = {"answered": answered, "positions": np.array([4, 7, 8])}
    return Judged(outputs, SIGNATURE, lambda _: [], extra=extra)


def test_classes_are_those_of_the_counts_the_weakest_first() -> None:
    view = segmented(judged())
    assert [row["label"] for row in view["classes"]] == ["<sea>", "sky", "sand"]
    sea, sky, sand = view["classes"]
    assert (sea["iou"], sea["precision"], sea["recall"]) == ("33.3%", "50.0%", "50.0%")
    assert (sky["iou"], sky["share"], sky["images"]) == ("81.8%", "83.3%", "3")
    assert (sand["iou"], sand["precision"], sand["recall"], sand["images"]) == ("–", "–", "–", "0")


def test_what_always_answering_the_same_would_give() -> None:
    """45 of 60 pixels are sky in truth; always sky has IoU 50/60 for sky and 0 for sea, mean over both."""
    lead = segmented(judged())["lead"]
    assert "to 83.3% of 60 pixels" in lead
    assert "Always answering “sky” would be right for 83.3%, with a mean IoU of 41.7%" in lead


def test_confusions_are_shares_of_the_true_class() -> None:
    view = segmented(judged())
    assert [[cell["text"] for cell in row["cells"]] for row in view["confusion"][:2]] == [
        ["90%", "10%", "<0.1%"],
        ["50%", "50%", "<0.1%"],
    ]
    assert view["confusion"][0]["cells"][1]["title"] == "true sky, answered <sea>: 5 of 50 pixels"
    assert [(pair["true"], pair["count"]) for pair in view["pairs"]] == [("sky", 5), ("<sea>", 5)]


def test_the_worst_images_come_first_by_their_place_in_the_split() -> None:
    asked: list[list[int]] = []
    worst = segmented(judged(asked))["worst"]
    assert asked == [[7, 4, 8]]
    assert [item["iou"] for item in worst] == ["37.5%", "58.3%", "100.0%"]
    assert [name for name, _ in worst[0]["pictures"]] == ["image", "truth", "answer", "wrong pixels"]
    assert len({picture for _, picture in worst[0]["pictures"]}) >= 3


def test_the_page_is_written_with_names_escaped(tmp_path: Path) -> None:
    given = judged()
    scores = segmentation.scores(CONFUSION, given.outputs["log_loss"])
    write_report(
        tmp_path / "report.html",
        recipe={"name": "demo", "train": {"monitor": {"metric": "mean_iou", "mode": "max"}}},
        history=[],
        outputs=given.outputs,
        scores=scores,
        signature=SIGNATURE,
        raw=lambda _: [],
        kind="segmentation",
        extra=given.extra,
    )
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;sea&gt;" in page and "<sea>" not in page
    assert "Mean IoU" in page and "Worst images" in page and page.count("data:image/png") == 12


def test_the_trivial_model_knows_only_how_often_each_class_occurs() -> None:
    outputs = {**judged().outputs, "confusion": CONFUSION.copy()}
    outputs["confusion"][2] = [[10, 0, 10], [0, 0, 0], [0, 0, 0]]  # sand is answered, and never true
    constant = constant_answer(outputs, outputs)
    assert constant is not None
    p = np.array([51, 11, 1]) / 63
    wanted = -(50 * np.log(p[0]) + 10 * np.log(p[1])) / 60
    found = segmentation.metrics(constant["confusion"], constant["log_loss"])
    np.testing.assert_allclose(found["loss"], wanted, rtol=1e-12)
    assert found["pixel_accuracy"] == 50 / 60
