"""A segmentation bundle over folders: masks and overlays written, scores at the images' own sizes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix, jaccard_score

from lamplighter.bundle.manifest import Output
from lamplighter.bundle.runtime.evaluation import judge_file, scores_of
from lamplighter.bundle.runtime.kinds.segmentation import Segmentation
from lamplighter.bundle.runtime.mask_folders import judge_masks, predict_masks
from lamplighter.core.errors import DataError
from lamplighter.core.seeding import generator
from lamplighter.data.preprocessing.masks import MaskCoding
from lamplighter.data.preprocessing.pipeline import Pipeline

LABELS = ("dark", "light")


class Threshold:
    """A bundle that calls a pixel light from 128 on."""

    def __init__(self, **data: Any) -> None:
        pipeline = Pipeline([{"name": "decode-image", "channels": 1}, {"name": "fit-images"}])
        self.kind = Segmentation(Output(kind="segmentation", labels=LABELS), pipeline)
        self.manifest: Any = SimpleNamespace(output=self.kind.output, recipe={"data": {"name": "x", **data}})

    def predict(self, rows: list[Any]) -> list[dict[str, Any]]:
        assert self.kind.pipeline is not None
        tensors = self.kind.pipeline(rows)
        outputs = self.kind.run(
            lambda t: {"logits": np.concatenate([255 - t["x"], t["x"]], axis=1).astype(np.float32)}, tensors
        )
        return self.kind.answers(outputs, tensors)


def folder(root: Path, values: tuple[int, ...] = (0, 1, 255)) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = generator(0, "mask-folders")
    images = [rng.integers(0, 256, (5 + i % 3, 6), dtype=np.uint8) for i in range(12)]
    masks = [np.where(rng.random(image.shape) < 0.9, image >= 128, 0).astype(np.uint8) for image in images]
    for i, (image, mask) in enumerate(zip(images, masks)):
        mask[0, 0] = 2
        for name, array in (("images", image), ("masks", np.array(values, np.uint8)[mask])):
            (root / name / "deep").mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / name / ("deep" if i % 2 else "") / f"{i:02}.png")
    order = [i for i in range(12) if not i % 2] + [i for i in range(12) if i % 2]
    return [images[i] for i in order], [masks[i] for i in order]


def test_masks_and_overlays_are_written_beside_each_other(tmp_path: Path) -> None:
    images, _ = folder(tmp_path)
    bundle: Any = Threshold()
    assert predict_masks(bundle, tmp_path / "images", tmp_path / "out", progress=False) == 12
    mask = Image.open(tmp_path / "out/masks/00.png")
    assert mask.mode == "P" and mask.size == (6, 5)
    np.testing.assert_array_equal(np.asarray(mask), images[0] >= 128)
    assert (tmp_path / "out/overlays/deep/01.jpg").is_file()
    assert (tmp_path / "out/classes.txt").read_text() == "dark\nlight\n"


def test_what_was_written_can_be_trained_on(tmp_path: Path) -> None:
    from lamplighter.data.sources.mask_folder import MaskFolder

    folder(tmp_path)
    predict_masks(Threshold(), tmp_path / "images", tmp_path / "out", progress=False)  # type: ignore[arg-type]
    (tmp_path / "out/images").symlink_to(tmp_path / "images")
    source = MaskFolder(str(tmp_path / "out"))
    assert source.signature.labels == LABELS and len(source.files) == 12


def test_a_bad_image_stops_or_is_left_out(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "images/bad.png").write_bytes(b"no image")
    bundle: Any = Threshold()
    with pytest.raises(DataError, match=r"bad\.png"):
        predict_masks(bundle, tmp_path / "images", tmp_path / "out", progress=False)
    assert predict_masks(bundle, tmp_path / "images", tmp_path / "out", skip_bad=True, progress=False) == 12
    with pytest.raises(DataError, match="no folder of images"):
        predict_masks(bundle, tmp_path / "images/bad.png", tmp_path / "out")
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "images/00.bmp")
    with pytest.raises(DataError, match="another image has this name"):
        predict_masks(bundle, tmp_path / "images", tmp_path / "out")


def test_scores_are_those_of_all_pixels_that_count(tmp_path: Path) -> None:
    images, masks = folder(tmp_path)
    bundle: Any = Threshold()
    outputs = judge_file(bundle, tmp_path, progress=False).outputs
    truth = np.concatenate([mask.ravel() for mask in masks])
    said = np.concatenate([(image >= 128).ravel() for image in images]).astype(int)
    counted = confusion_matrix(truth[truth < 2], said[truth < 2])
    assert counted[0, 1] != counted[1, 0]
    np.testing.assert_array_equal(outputs["confusion"].sum(axis=0), counted)
    scores = scores_of(bundle, outputs)
    wanted = jaccard_score(truth[truth < 2], said[truth < 2], average="macro")
    assert scores["mean_iou"].value == pytest.approx(wanted, rel=1e-12) and scores["mean_iou"].n == 12
    assert "loss" not in scores
    with pytest.raises(DataError, match="no column 'age'"):
        judge_file(bundle, tmp_path, ["age"])


def test_masks_are_read_as_in_training(tmp_path: Path) -> None:
    plain = judge_masks(Threshold(), _made(tmp_path / "a"), progress=False)  # type: ignore[arg-type]
    valued: Any = Threshold(name="mask-folder", values=[7, 9], ignore_index=8)
    other = judge_masks(valued, _made(tmp_path / "b", (7, 9, 8)), progress=False)
    np.testing.assert_array_equal(plain["confusion"], other["confusion"])
    with pytest.raises(DataError, match=r"masks.00\.png: .*is 8, which is no class"):
        judge_masks(Threshold(), tmp_path / "b", progress=False)  # type: ignore[arg-type]
    coloured: Any = Threshold(name="mask-folder", palette=[[1, 2, 3], [4, 5, 6]], ignore_index=[0, 0, 0])
    colours = np.array([(1, 2, 3), (4, 5, 6), (0, 0, 0)], np.uint8)
    for path in (tmp_path / "a/masks").rglob("*.png"):
        classes = MaskCoding((0, 1, 255)).read(path)
        Image.fromarray(colours[classes]).save(path)
    third = judge_masks(coloured, tmp_path / "a", progress=False)
    np.testing.assert_array_equal(plain["confusion"], third["confusion"])


def _made(root: Path, values: tuple[int, ...] = (0, 1, 255)) -> Path:
    folder(root, values)
    return root


def test_masks_of_another_size_are_named(tmp_path: Path) -> None:
    folder(tmp_path)
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(tmp_path / "masks/00.png")
    with pytest.raises(DataError, match=r"00\.png: is 3 x 3 pixels, its image 5 x 6"):
        judge_masks(Threshold(), tmp_path, progress=False)  # type: ignore[arg-type]
