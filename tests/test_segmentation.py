"""Segmentation from a folder of images and masks to a monitored service: trained, exported, served, fed back."""

from __future__ import annotations

import base64
import json
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.bundle.runtime import Bundle, load_bundle
from lamplighter.client.http import Client, ClientError
from lamplighter.core.recipe import Recipe
from lamplighter.core.seeding import generator
from lamplighter.data.preprocessing.masks import MaskCoding, png
from lamplighter.run import Run, fit
from lamplighter.serving.server import start

RECIPE = """
name: stones
threads: 1
data: {name: mask-folder, path: FOLDER, classes: [ground, stone], size: original, batch_size: 8}
augment: [{name: random-crop, height: 16, width: 16}, {name: random-flip}]
model: {name: unet, width: 4, depth: 1}
task: {name: segmentation, tile: 24, overlap: 0.25}
train:
  epochs: 4
  precision: fp32
  optimizer: {name: adamw, lr: 0.02}
  metrics: [{name: dice_of_images, without: [0]}]
"""


def write(root: Path, count: int = 40) -> Path:
    """Bright stones on dark ground, of many sizes; the pixels around a stone do not count."""
    rng = generator(0, "stones")
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for i in range(count):
        height, width = 20 + 5 * (i % 3), 26 - 3 * (i % 2)
        down, across = np.mgrid[:height, :width]
        distance = np.hypot(down - rng.integers(6, height - 6), across - rng.integers(6, width - 6))
        image = rng.normal(70, 15, (height, width)) + 90 * (distance < 6)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / "images" / f"{i:02}.png")
        mask = np.select([distance < 5, distance < 7], [1, 255], 0).astype(np.uint8)
        Image.fromarray(mask).save(root / "masks" / f"{i:02}.png")
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("stones")
    recipe = folder / "stones.yaml"
    recipe.write_text(RECIPE.replace("FOLDER", str(write(folder / "data"))))
    return fit(Recipe.load(recipe), out=folder / "run", progress=False)


@pytest.fixture(scope="module")
def bundle(run: Run) -> Bundle:
    return run.export()


def test_it_learns_and_says_how_well(run: Run) -> None:
    assert run.metrics["mean_iou"].value > 0.8 and run.metrics["mean_iou"].n == 4
    assert set(run.metrics) == {"loss", "mean_iou", "dice", "pixel_accuracy", "dice_of_images"}
    assert run.recipe.train.monitor is not None and run.recipe.train.monitor.metric == "mean_iou"
    assert run.recipe.task.params["loss"] == {"name": "dice-ce"} or "dice-ce" in str(run.recipe.task.params["loss"])
    assert run.evaluate("val")["mean_iou"].value == pytest.approx(run.val_metrics["mean_iou"].value)


def test_the_report_shows_classes_and_the_worst_images(run: Run) -> None:
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "Worst images" in page and page.count("data:image/png") == 4 * 4
    assert "Each class" in page and "stone" in page and "wrong pixels" in page and "Seen and unseen rows" in page


def test_the_bundle_answers_what_the_run_evaluated(run: Run, bundle: Bundle) -> None:
    """Tiles, sizes and all: the masks that were counted in training's evaluation are those that are served."""
    task, source = run.task(), run.source()
    rows = np.arange(len(source.split("test")))
    answers = bundle.predict(source.raw("test", rows))
    outputs = task.evaluate(source.split("test").fetch(rows))
    for answer, path, counts in zip(answers, source.raw("test", rows), outputs["confusion"]):
        truth = MaskCoding((0, 1), 255).read(path.replace("images", "masks"))
        assert answer["mask"].shape == truth.shape
        same = np.bincount((2 * truth + answer["mask"])[truth >= 0], minlength=4).reshape(2, 2)
        assert np.abs(same - counts.numpy()).sum() <= 2  # a pixel between two classes
    manifest = bundle.manifest
    assert manifest.output.settings == {"tile": 24, "overlap": 0.25} and manifest.output.kind == "segmentation"
    assert {feature.origin for feature in manifest.features} == {"image", "embedding"}


def test_a_picture_of_any_size_over_http_until_the_monitor_knows(bundle: Bundle, tmp_path: Path) -> None:
    assert bundle.path is not None
    image = generator(0, "served").normal(70, 15, (50, 70)).clip(0, 255).astype(np.uint8)
    image[10:22, 40:55] = 180
    file = tmp_path / "field.png"
    Image.fromarray(image).save(file)
    [expected] = bundle.predict([file])
    store = f"sqlite:///{tmp_path / 'monitor.sqlite'}"
    with start(bundle.path, store_url=store) as server, Client(server.url) as client:
        answer = client.predict_image(file)
        mask = MaskCoding((0, 1)).read(base64.b64decode(answer["mask"]))
        assert mask.shape == (50, 70)
        np.testing.assert_array_equal(mask, expected["mask"])
        assert answer["shares"] == pytest.approx({"ground": (mask == 0).mean(), "stone": (mask == 1).mean()})
        assert mask[14:18, 44:50].mean() > 0.9 and mask[30:].mean() < 0.1
        by_pixels = client.predict([image[:, :, None].tolist(), image[:33, :20].tolist()])
        assert by_pixels[0]["mask"] == answer["mask"] and by_pixels[1]["shares"]["stone"] < 0.2
        assert client.feedback(answer["id"], {"stone": 0.1, "ground": 0.9}) == "joined"
        truth = base64.b64encode(png(np.ones((50, 70), np.uint8))).decode()
        assert client.feedback(by_pixels[0]["id"], truth) == "joined"
        with pytest.raises(ClientError, match="gives shares of pixels"):
            client.feedback(answer["id"], {"stone": 2.0})
        monitor = server.app.models[0].monitor
        assert monitor is not None and monitor.flush()
        assert monitor.totals()["predictions"] == 3
        [record] = monitor.store.find_predictions("stones", [answer["id"]]).values()
        stored = np.frombuffer(record["scores"], dtype="<f4")
        assert stored == pytest.approx(list(answer["shares"].values()), rel=1e-6)
        assert record["label"] == "ground"
        snapshot = json.loads(_get(server.url + "/models/stones/monitor.json"))
        assert "prediction of stone" in json.dumps(snapshot) or "stone" in json.dumps(snapshot)
        schema = json.loads(_get(server.url + "/openapi.json"))
        assert "shares" in json.dumps(schema["paths"]["/v1/models/stones/predict"])


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        content: bytes = answer.read()
        return content.decode()


def test_a_resumed_or_exported_run_reads_its_own_recipe(run: Run, bundle: Bundle) -> None:
    data: dict[str, Any] = run.recipe.data.params
    assert data["values"] == (0, 1) or list(data["values"]) == [0, 1]
    assert data["ignore_index"] == 255 and data["size"] == "original"
    assert bundle.path is not None and load_bundle(bundle.path).manifest.metrics["mean_iou"].n == 4
