"""Which image belongs to which mask, and every way in which a folder can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lamplighter.core.errors import DataError
from lamplighter.data.preprocessing.mask_files import find, names


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(path)


def test_pairs_by_name_at_any_depth_whatever_the_ending(tmp_path: Path) -> None:
    touch(tmp_path / "images/a.jpg", tmp_path / "images/deep/b.PNG", tmp_path / "images/.hidden.png")
    touch(tmp_path / "masks/a.png", tmp_path / "masks/deep/b.tif", tmp_path / "masks/c.png")
    (tmp_path / "images/notes.txt").write_text("x")
    notes: list[str] = []
    found = find(tmp_path, "images", "masks", "", notes)
    assert [(pair.image.name, pair.mask.name, pair.split) for pair in found] == [
        ("a.jpg", "a.png", ""),
        ("b.PNG", "b.tif", ""),
    ]
    assert len(notes) == 2 and "1 masks without an image: c" in notes[0] and "notes.txt" in notes[1]


def test_splits_and_suffixes(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        touch(tmp_path / part / "img/a.png", tmp_path / part / "gt/a_mask.gif")
    found = find(tmp_path, "img", "gt", "_mask", [])
    assert [pair.split for pair in found] == ["test", "train", "val"]
    assert {pair.mask.name for pair in found} == {"a_mask.gif"}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither 'images' and 'masks' nor 'train'"):
        find(tmp_path, "images", "masks", "", [])
    touch(tmp_path / "images/a.png", tmp_path / "images/b.png")
    with pytest.raises(DataError, match="has 'images' but no 'masks'"):
        find(tmp_path, "images", "masks", "", [])
    touch(tmp_path / "masks/a.png")
    with pytest.raises(DataError, match=r"no mask in .*masks for b\.png"):
        find(tmp_path, "images", "masks", "", [])
    with pytest.raises(DataError, match="with '_m' at its end"):
        find(tmp_path, "images", "masks", "_m", [])
    touch(tmp_path / "masks/a.gif", tmp_path / "masks/b.png")
    with pytest.raises(DataError, match="has 2 masks"):
        find(tmp_path, "images", "masks", "", [])


def test_masks_as_jpeg_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "images/a.jpg", tmp_path / "masks/a.jpg")
    with pytest.raises(DataError, match="JPEG has invented values"):
        find(tmp_path, "images", "masks", "", [])


def test_no_images_and_no_folder(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match="no images in 'images'"):
        find(tmp_path, "images", "masks", "", [])
    with pytest.raises(DataError, match="gone"):
        find(tmp_path / "gone", "images", "masks", "", [])
    touch(tmp_path / "file.png")
    with pytest.raises(DataError, match="not a folder"):
        find(tmp_path / "file.png", "images", "masks", "", [])


def test_two_names_for_one_split(tmp_path: Path) -> None:
    for part in ("train", "val", "valid"):
        touch(tmp_path / part / "images/a.png", tmp_path / part / "masks/a.png")
    with pytest.raises(DataError, match="mean the same"):
        find(tmp_path, "images", "masks", "", [])
    touch(tmp_path / "other/train/images/a.png")
    with pytest.raises(DataError, match="no folder 'masks' in it"):
        find(tmp_path / "other", "images", "masks", "", [])


def test_names_of_classes(tmp_path: Path) -> None:
    assert names(tmp_path) is None
    (tmp_path / "classes.txt").write_text("sky\n\n sea \n", encoding="utf-8-sig")
    assert names(tmp_path) == ("sky", "sea")
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match=r"classes\.txt: cannot be read"):
        names(tmp_path)
