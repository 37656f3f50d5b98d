"""Mask folders: what the values of masks mean, sizes, splits, memory, and errors that name the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lamplighter.core.errors import DataError
from lamplighter.core.seeding import generator
from lamplighter.data.sources.mask_folder import MaskFolder

Save = Callable[..., Path]


def write(root: Path, count: int = 20, size: tuple[int, int] = (8, 9), values: Any = (0, 1, 2), part: str = "") -> Path:
    rng = generator(0, f"mask-folder {part}")
    for name in ("images", "masks"):
        (root / part / name).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        picture = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        picture.save(root / part / "images" / f"{i:02}.png")
        pixels = np.array(values, np.uint8)[rng.integers(0, len(values), size)]
        Image.fromarray(pixels).save(root / part / "masks" / f"{i:02}.png")
    return root


def first(source: MaskFolder) -> tuple[np.ndarray, np.ndarray]:
    """The class indices of the first training row, and the pixels of its mask file."""
    [path] = source.raw("train", np.array([0]))
    mask = np.asarray(Image.open(path.replace("images", "masks")))
    return source.split("train").fetch(np.array([0]))["y"][0].numpy(), mask


def test_indices_are_classes_and_255_does_not_count(tmp_path: Path) -> None:
    source = MaskFolder(str(write(tmp_path, values=(0, 1, 2, 255))), classes=("sky", "sea", "sand"))
    y, mask = first(source)
    np.testing.assert_array_equal(y, np.where(mask == 255, -1, mask.astype(int)))
    assert source.signature.labels == ("sky", "sea", "sand") and source.signature.targets[0].kind == "mask"
    assert source.resolved()["ignore_index"] == 255 and source.resolved()["values"] == [0, 1, 2]


def test_without_names_classes_are_the_values(tmp_path: Path) -> None:
    assert MaskFolder(str(write(tmp_path, values=(0, 1, 3, 255)))).signature.labels == ("0", "1", "2", "3")


def test_names_from_a_file(tmp_path: Path) -> None:
    (write(tmp_path) / "classes.txt").write_text("sky\nsea\nsand\n")
    assert MaskFolder(str(tmp_path)).signature.labels == ("sky", "sea", "sand")


@pytest.mark.parametrize("classes", [None, ("nothing", "car")])
def test_0_and_255_are_two_classes(tmp_path: Path, classes: tuple[str, ...] | None) -> None:
    source = MaskFolder(str(write(tmp_path, values=(0, 255))), classes=classes)
    y, mask = first(source)
    np.testing.assert_array_equal(y, mask // 255)
    assert source.resolved()["values"] == [0, 255] and source.resolved()["ignore_index"] is None
    assert any("0 and 255: two classes" in note for note in source.notes)


def test_values_of_ones_own(tmp_path: Path) -> None:
    source = MaskFolder(str(write(tmp_path, values=(10, 20, 99))), classes=("b", "a"), values=(20, 10), ignore_index=99)
    y, mask = first(source)
    np.testing.assert_array_equal(y, np.select([mask == 20, mask == 10], [0, 1], -1))


def test_colours(tmp_path: Path) -> None:
    palette = ((128, 64, 128), (70, 130, 180))
    write(tmp_path)
    for path in (tmp_path / "masks").iterdir():
        Image.fromarray(np.array([*palette, (0, 0, 0)], np.uint8)[np.asarray(Image.open(path))]).save(path)
    source = MaskFolder(str(tmp_path), classes=("road", "sky"), palette=palette, ignore_index=(0, 0, 0))
    y, mask = first(source)
    np.testing.assert_array_equal(y, np.select([mask[:, :, 0] == 128, mask[:, :, 0] == 70], [0, 1], -1))
    assert MaskFolder(str(tmp_path), **source.resolved()).signature == source.signature
    with pytest.raises(DataError, match=r"masks.00\.png.*data\.palette"):
        MaskFolder(str(tmp_path))
    with pytest.raises(DataError, match=r"is \(0, 0, 0\), which is no class"):
        MaskFolder(str(tmp_path), classes=("road", "sky"), palette=palette)


def test_pixels_of_each_class_are_counted_in_the_training_split(tmp_path: Path) -> None:
    source = MaskFolder(str(write(tmp_path, values=(0, 1, 2, 255))))
    y = source.split("train").fetch(np.arange(len(source.split("train"))))["y"]
    assert source.class_counts() == tuple(torch.bincount(y[y >= 0], minlength=3).tolist())


def test_a_class_that_is_nowhere_is_said(tmp_path: Path) -> None:
    source = MaskFolder(str(write(tmp_path)), classes=("sky", "sea", "sand", "ship"))
    assert any("'ship'" in note for note in source.notes)


def test_resizing_takes_the_nearest_pixel_of_the_mask_and_smooths_the_image(tmp_path: Path) -> None:
    source = MaskFolder(str(write(tmp_path, values=(0, 2))), size=(4, 18))
    batch = source.split("val").fetch(np.array([0]))
    [path] = source.raw("val", np.array([0]))
    image, mask = (Image.open(p) for p in (path, path.replace("images", "masks")))
    np.testing.assert_array_equal(batch["y"][0].numpy(), np.asarray(mask.resize((18, 4), Image.Resampling.NEAREST)))
    wanted = np.asarray(image.resize((18, 4), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(batch["x"][0].permute(1, 2, 0).numpy(), wanted)


def test_sizes_that_differ_are_kept_and_filled_up(tmp_path: Path) -> None:
    write(tmp_path, count=12, size=(6, 9))
    for i in range(0, 12, 2):
        for name in ("images", "masks"):
            path = tmp_path / name / f"{i:02}.png"
            Image.open(path).crop((0, 0, 4, 5)).save(path)
    source = MaskFolder(str(tmp_path), split=(0.5, 0.25, 0.25))
    batch = source.split("train").fetch(np.arange(6))
    assert source.signature.tensors[0].shape == (3, None, None) and source.signature.tensors[0].pad == 0
    assert batch["x"].shape == (6, 3, 6, 9) and source.resolved()["size"] == "original"
    for x, y, (height, width) in zip(batch["x"], batch["y"], batch["original_size"].tolist()):
        assert (height, width) in ((6, 9), (5, 4))
        assert (y[:height, :width] >= 0).all() and (y[height:] == -1).all() and (y[:, width:] == -1).all()
        assert x[:, height:].sum() == 0
    assert MaskFolder(str(write(tmp_path / "equal")), size="original").signature.tensors[0].shape == (3, None, None)


def test_given_splits_are_kept_and_missing_ones_cut_from_train(tmp_path: Path) -> None:
    write(tmp_path, 20, part="train")
    write(tmp_path, 5, part="test")
    source = MaskFolder(str(tmp_path), split=(0.75, 0.25, 0.1))
    assert [len(source.split(name)) for name in ("train", "val", "test")] == [15, 5, 5]
    assert all("/test/" in path for path in source.raw("test", np.arange(5)))


def test_images_of_one_group_stay_together(tmp_path: Path) -> None:
    write(tmp_path, 30)
    rule = {"by": "group", "pattern": "images/([0-9])"}
    from lamplighter.core import registry

    source: MaskFolder = registry.build("source", "mask-folder", {"path": str(tmp_path), "split": rule}, {"seed": 0})
    groups = [
        {Path(p).name[0] for p in source.raw(n, np.arange(len(source.split(n))))} for n in ("train", "val", "test")
    ]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]


def test_what_does_not_fit_into_memory_is_decoded_again(tmp_path: Path) -> None:
    write(tmp_path)
    kept, decoded = MaskFolder(str(tmp_path)), MaskFolder(str(tmp_path), cache_mb=0)
    rows = np.array([3, 0, 3])
    assert decoded.split("train").decodes and not kept.split("train").decodes
    for name, tensor in kept.split("train").fetch(rows).items():
        assert torch.equal(decoded.split("train").fetch(rows)[name], tensor)
    assert decoded.statistics() == kept.statistics() and decoded.class_counts() == kept.class_counts()


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    write(tmp_path)
    Image.fromarray(np.zeros((3, 9), np.uint8)).save(tmp_path / "masks" / "03.png")
    with pytest.raises(DataError, match=r"03\.png: .*is 3 x 9 pixels, its image 8 x 9"):
        MaskFolder(str(tmp_path))
    Image.fromarray(np.full((8, 9), 77, np.uint8)).save(tmp_path / "masks" / "03.png")
    with pytest.raises(DataError, match=r"masks.03\.png: the pixel at row 0, column 0 is 77.*known: 0, 1, 2, 255"):
        MaskFolder(str(tmp_path), classes=("a", "b", "c"))
    (tmp_path / "images" / "03.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"03\.png"):
        MaskFolder(str(tmp_path))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"palette": ((0, 0, 0), (1, 1, 1)), "values": (0, 1)}, "palette and values"),
        ({"classes": ("a", "b", "c"), "values": (0, 1)}, "3 classes .* for 2 values"),
        ({"classes": ("a", "a"), "values": (0, 1)}, "stands there twice"),
        ({"classes": ("a",), "values": (0,)}, "a single class"),
        ({"values": (0, 1), "ignore_index": 1}, "ignore_index: 1 is the value of class '1'"),
        ({"palette": ((0, 0, 0), (1, 1, 1)), "ignore_index": 255}, "255 is no colour"),
    ],
)
def test_a_recipe_that_contradicts_itself(tmp_path: Path, params: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        MaskFolder(str(write(tmp_path)), **params)


def test_values_too_large_to_be_counted_up_to_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path)
    Image.fromarray(np.full((8, 9), 4000, np.uint16)).save(tmp_path / "masks" / "03.png")
    with pytest.raises(DataError, match="values up to 4000; name the classes"):
        MaskFolder(str(tmp_path))
