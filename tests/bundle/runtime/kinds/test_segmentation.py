"""The kind segmentation: masks at the size that was sent, alone as in a batch, whole as in tiles; feedback."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.bundle.manifest import Output
from lamplighter.bundle.runtime.kinds.segmentation import Segmentation
from lamplighter.core.errors import BundleError, InputError
from lamplighter.core.seeding import generator
from lamplighter.data.preprocessing.masks import MaskCoding, png
from lamplighter.data.preprocessing.pipeline import Pipeline, Tensors

LABELS = ("sky", "sea", "sand")


def kind(fit: dict[str, Any] | None = None, **settings: Any) -> Segmentation:
    output = Output(kind="segmentation", labels=LABELS, settings=settings)
    return Segmentation(
        output, Pipeline([{"name": "decode-image", "channels": 3}, {"name": "fit-images", **(fit or {})}])
    )


def brightest(tensors: Tensors) -> Tensors:
    """A network whose answer at a pixel is the brightest of the three colours there and around, zeros outside."""
    x = np.pad(tensors["x"].astype(np.float32), ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows = x[:, :, :-2] + x[:, :, 1:-1] + x[:, :, 2:]
    logits = (rows[:, :, :, :-2] + rows[:, :, :, 1:-1] + rows[:, :, :, 2:]) / 255
    return {"logits": logits, "embedding": logits.mean(axis=(2, 3))}


def picture(height: int, width: int) -> np.ndarray:
    return generator(0, "picture", height, width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def answers(model: Segmentation, rows: list[np.ndarray]) -> list[dict[str, Any]]:
    assert model.pipeline is not None
    tensors = model.pipeline(rows)
    return model.answers(model.run(brightest, tensors), tensors)


def test_the_mask_is_the_likeliest_class_of_each_pixel() -> None:
    image = picture(6, 7)
    [answer] = answers(kind(), [image])
    logits = brightest({"x": image.transpose(2, 0, 1)[None]})["logits"][0]
    np.testing.assert_array_equal(answer["mask"], logits.argmax(axis=0))
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    assert answer["confidence"] == pytest.approx(p.max(axis=0).mean(), rel=1e-6)
    assert answer["shares"] == {label: (answer["mask"] == k).mean() for k, label in enumerate(LABELS)}


def test_images_of_many_sizes_are_answered_as_if_alone() -> None:
    """Filled up with zeros, a pixel at the border would have other neighbours."""
    images = [picture(6, 7), picture(9, 4), picture(6, 7)[::-1], picture(1, 1)]
    together = answers(kind(), images)
    for image, answer in zip(images, together):
        [alone] = answers(kind(), [image])
        assert answer["mask"].shape == image.shape[:2]
        np.testing.assert_array_equal(answer["mask"], alone["mask"])
        assert answer["confidence"] == alone["confidence"] and answer["shares"] == alone["shares"]


def test_resized_images_are_answered_at_the_size_that_was_sent() -> None:
    """The logits are enlarged, then a class is chosen: left is sky, right is sea, the border in the middle."""
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, :15, 0] = image[:, 15:, 1] = 200
    [answer] = answers(kind({"height": 5, "width": 6}), [image])
    assert answer["mask"].shape == (20, 30)
    assert (answer["mask"][:, :14] == 0).all() and (answer["mask"][:, 16:] == 1).all()


def test_large_images_are_answered_in_tiles() -> None:
    image = picture(50, 21)
    seen: list[tuple[int, ...]] = []

    def spy(tensors: Tensors) -> Tensors:
        seen.append(tensors["x"].shape)
        return brightest(tensors)

    model = kind(tile=16, overlap=0.25)
    assert model.pipeline is not None
    outputs = model.run(spy, model.pipeline([image]))
    assert {shape[2:] for shape in seen} == {(16, 16)} and outputs["embedding"].shape == (1, 3)
    [whole] = answers(kind(), [image])
    assert (outputs["mask"][0] == whole["mask"]).mean() > 0.9
    [small] = answers(model, [picture(16, 9)])
    np.testing.assert_array_equal(small["mask"], answers(kind(), [picture(16, 9)])[0]["mask"])


def test_over_http_the_mask_is_a_png() -> None:
    [answer] = answers(kind(), [picture(6, 7)])
    sent = kind().plain(answer)
    read = MaskCoding((0, 1, 2)).read(base64.b64decode(sent["mask"]))
    np.testing.assert_array_equal(read, answer["mask"])
    assert sent["shares"] == answer["shares"]


def test_what_waits_for_the_monitor_is_small() -> None:
    model = kind()
    assert model.pipeline is not None
    tensors = model.pipeline([picture(6, 7), picture(9, 9)])
    outputs = model.run(brightest, tensors)
    kept = model.kept(outputs, tensors)
    assert set(kept) == {"shares", "embedding"}
    np.testing.assert_array_equal(model.scores(kept, tensors), outputs["shares"])
    assert all(len(array) == 2 for array in outputs.values())


def test_an_answer_that_is_not_finite_names_its_row() -> None:
    def broken(tensors: Tensors) -> Tensors:
        outputs = brightest(tensors)
        outputs["logits"][outputs["logits"].shape[0] - 1] = np.nan
        return outputs

    model = kind()
    assert model.pipeline is not None
    with pytest.raises(InputError) as caught:
        model.run(broken, model.pipeline([picture(3, 3), picture(6, 7), picture(6, 7), picture(9, 9)]))
    assert caught.value.row == 0
    with pytest.raises(InputError) as caught:
        model.run(
            lambda tensors: broken(tensors) if tensors["x"].shape[2] == 6 else brightest(tensors),
            model.pipeline([picture(3, 3), picture(6, 7), picture(6, 7), picture(9, 9)]),
        )
    assert caught.value.row == 2


def test_parity_of_answers() -> None:
    [answer] = answers(kind(), [picture(40, 50)])
    near, far = answer["mask"].copy(), answer["mask"].copy()
    near[0, 0] = (near[0, 0] + 1) % 3
    far[:, 0] = (far[:, 0] + 1) % 3
    assert kind().difference(answer, {**answer, "mask": near}) is None
    assert "40 of 2000 pixels" in str(kind().difference(answer, {**answer, "mask": far}))
    assert "(40, 50)" in str(kind().difference(answer, {**answer, "mask": near[:, 1:]}))


def test_entries_for_the_store() -> None:
    [answer] = answers(kind(), [picture(6, 7)])
    scores = np.array([[0.2, 0.5, 0.3]], np.float32)
    assert kind().entries(scores, [answer]) == [{"label": "sea", "value": None, "confidence": answer["confidence"]}]
    assert kind().entries(scores, None)[0]["confidence"] is None


def test_feedback_is_shares_or_a_mask() -> None:
    model = kind()
    assert model.truth({"sky": 0.25, "sea": 0.75}) == {"sky": 0.25, "sea": 0.75}
    mask = np.array([[0, 0, 1, 255]], np.uint8)
    truth = model.truth(base64.b64encode(png(mask)).decode())
    assert truth == pytest.approx({"sky": 2 / 3, "sea": 1 / 3, "sand": 0.0})
    assert model.error(truth, None, np.array([0.5, 0.5, 0.0])) == pytest.approx((1 / 6 + 1 / 6 + 0) / 3)
    assert model.truth(model.truth_example()["values"])
    assert model.metric == "mae" and not model.classes


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sky": 1.2}, "share from 0 to 1"),
        ({"sky": True}, "share from 0 to 1"),
        ({"sky": 0.6, "sea": 0.6}, "sum to 1.2"),
        ({"road": 0.1}, "unknown class 'road'"),
        ({}, "give shares"),
        (0.5, "give shares"),
        ("no base64!", "neither shares"),
        (base64.b64encode(b"no image").decode(), "not an image"),
        (base64.b64encode(png(np.array([[7]]))).decode(), "is 7, which is no class"),
        (base64.b64encode(png(np.array([[255]]))).decode(), "no pixel of the mask"),
    ],
)
def test_feedback_that_cannot_be(given: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        kind().truth(given)


@pytest.mark.parametrize(
    "settings", [{"tile": 0, "overlap": 0.2}, {"tile": "x"}, {"tile": 8}, {"tile": 8, "overlap": 0.9}]
)
def test_settings_that_make_no_sense(settings: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="settings"):
        kind(**settings)


def test_outputs_of_another_shape_are_refused() -> None:
    with pytest.raises(BundleError, match="one number for each class and pixel"):
        kind().check_outputs({"logits": np.zeros((1, 2, 4, 4))}, {"x": np.zeros((1, 3, 4, 4))})


def test_a_row_of_a_table() -> None:
    [answer] = answers(kind(), [picture(6, 7)])
    assert list(kind().flat(answer)) == kind().fields(False) == ["confidence", "share_sky", "share_sea", "share_sand"]


def test_enlarged_logits_are_pillows() -> None:
    image = picture(4, 4)
    [answer] = answers(kind({"height": 2, "width": 2}), [image])
    small = np.asarray(Image.fromarray(image).resize((2, 2), Image.Resampling.BILINEAR))
    logits = brightest({"x": small.transpose(2, 0, 1)[None]})["logits"][0]
    large = [np.asarray(Image.fromarray(plane).resize((4, 4), Image.Resampling.BILINEAR)) for plane in logits]
    np.testing.assert_array_equal(answer["mask"], np.argmax(large, axis=0))
