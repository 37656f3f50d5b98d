"""image-folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.core import registry
from lamplighter.core.errors import DataError, LamplighterError
from lamplighter.core.seeding import generator
from lamplighter.data.loader import Loader
from lamplighter.data.sources.image_folder import ImageFolder
from lamplighter.data.splits import Splits


def fill(folder: Path, count: int = 10, shape: tuple[int, ...] = (6, 5, 3), suffix: str = ".png") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    rng = generator(len(str(folder)), "pictures", *folder.name.encode())
    paths = [folder / f"{number:02}{suffix}" for number in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
    return paths


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("pear", "apple", "Fig"):
        fill(tmp_path / name)
    return tmp_path


def pictures(source: ImageFolder, split: str) -> list[tuple[str, str]]:
    """(label of the tensor, name of the folder) for every row."""
    indices = np.arange(len(source.split(split)))
    y = source.split(split).fetch(indices)["y"]
    return [(source.signature.labels[int(c)], Path(p).parent.name) for c, p in zip(y, source.raw(split, indices))]


def test_labels_are_folder_names_in_order(root: Path) -> None:
    source = ImageFolder(str(root))
    assert source.signature.labels == ("Fig", "apple", "pear")
    assert [len(source.split(name)) for name in ("train", "val", "test")] == [24, 3, 3]
    for split in ("train", "val", "test"):
        assert all(label == folder for label, folder in pictures(source, split))
    assert sorted({label for label, _ in pictures(source, "test")}) == ["Fig", "apple", "pear"]


def test_names_that_differ_by_case_are_two_classes(tmp_path: Path) -> None:
    fill(tmp_path / "cat")
    fill(tmp_path / "Cat")
    assert ImageFolder(str(tmp_path)).signature.labels == ("Cat", "cat")


@pytest.mark.parametrize("cache_mb", [0, 2048])
def test_training_sees_what_the_pipeline_makes(root: Path, cache_mb: int) -> None:
    source = ImageFolder(str(root), size=(4, 7), cache_mb=cache_mb)
    indices = np.array([3, 0, 9])
    x = source.split("train").fetch(indices)["x"].numpy()
    again = source.preprocessing(source.raw("train", indices))["x"]
    assert x.shape == (3, 3, 4, 7) and np.array_equal(x, again)
    assert source.split("train").decodes is (cache_mb == 0)


def test_the_order_does_not_depend_on_the_file_system(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ImageFolder(str(root))
    plain = os.scandir

    class Backwards:
        def __init__(self, path: Any) -> None:
            with plain(path) as entries:
                self.entries = iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

        def __enter__(self) -> Backwards:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __iter__(self) -> Any:
            return self.entries

        def __next__(self) -> Any:
            return next(self.entries)

    monkeypatch.setattr(os, "scandir", Backwards)
    monkeypatch.setattr(os, "listdir", lambda path: sorted((e.name for e in plain(path)), reverse=True))
    second = ImageFolder(str(root))
    assert first._images.paths == second._images.paths
    assert first.raw("test", np.arange(3)) == second.raw("test", np.arange(3))


def test_what_is_decided_from_the_files(tmp_path: Path) -> None:
    fill(tmp_path / "a", shape=(6, 5))
    fill(tmp_path / "b", shape=(6, 5))
    source = ImageFolder(str(tmp_path))
    assert source.resolved() == {"size": [6, 5], "channels": 1, "bits": 8}
    fill(tmp_path / "b", count=1, shape=(9, 9, 3))
    again = registry.build("source", "image-folder", {"path": str(tmp_path), **source.resolved()}, {"seed": 0})
    assert again.signature == source.signature
    assert ImageFolder(str(tmp_path)).resolved() == {"size": [64, 64], "channels": 3, "bits": 8}


def test_folders_that_are_split_already(tmp_path: Path) -> None:
    for split, count in (("train", 8), ("validation", 3), ("test", 2)):
        for name in ("a", "b"):
            fill(tmp_path / split / name, count)
    source = ImageFolder(str(tmp_path))
    assert [len(source.split(name)) for name in ("train", "val", "test")] == [16, 6, 4]
    for split, folder in (("train", "train"), ("val", "validation"), ("test", "test")):
        raw = source.raw(split, np.arange(len(source.split(split))))
        assert {Path(path).parent.parent.name for path in raw} == {folder}


@pytest.mark.parametrize(
    ("given", "sizes"),
    [(("train",), [32, 4, 4]), (("train", "test"), [36, 4, 40]), (("train", "val"), [36, 40, 4])],
)
def test_what_is_missing_is_cut_from_train(tmp_path: Path, given: tuple[str, ...], sizes: list[int]) -> None:
    for split in given:
        for name in ("a", "b"):
            fill(tmp_path / split / name, 20, (3, 3))
    source = ImageFolder(str(tmp_path))
    assert [len(source.split(name)) for name in ("train", "val", "test")] == pytest.approx(sizes, abs=1)
    assert all(label == folder for label, folder in pictures(source, "train") + pictures(source, "val"))


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    for name in ("train", "bus", "test"):
        fill(tmp_path / name)
    assert ImageFolder(str(tmp_path)).signature.labels == ("bus", "test", "train")


def test_a_class_missing_in_train_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fill(tmp_path / "train" / name)
    fill(tmp_path / "test" / "c")
    with pytest.raises(DataError, match="class 'c' has no images in 'train'"):
        ImageFolder(str(tmp_path))


def test_two_names_for_one_split_are_refused(tmp_path: Path) -> None:
    for split in ("train", "val", "valid"):
        fill(tmp_path / split / "a", 2)
    with pytest.raises(DataError, match="keep one of them"):
        ImageFolder(str(tmp_path))


def test_files_that_are_no_images_are_left_out_and_noted(root: Path) -> None:
    (root / "pear" / "notes.txt").write_text("ripe")
    (root / "pear" / ".hidden.png").write_text("not read")
    (root / ".cache").mkdir()
    (root / "loose.png").write_text("not read")
    fill(root / "pear" / "deeper" / "still", 3)
    source = ImageFolder(str(root))
    assert sum(len(source.split(name)) for name in ("train", "val", "test")) == 33
    assert source.notes == ["left out 2 files that are no images in a class folder: loose.png, pear/notes.txt"]


def test_upper_case_suffixes_and_all_formats_count(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for suffix in (".PNG", ".jpg", ".JPEG", ".tif", ".tiff", ".webp", ".bmp", ".gif"):
            fill(tmp_path / name, 2, suffix=suffix)
    source = ImageFolder(str(tmp_path))
    assert sum(len(source.split(name)) for name in ("train", "val", "test")) == 32 and source.notes == []


def test_damaged_files_stop_the_run_and_are_named(root: Path) -> None:
    (root / "Fig" / "03.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    whole = (root / "pear" / "04.png").read_bytes()
    (root / "pear" / "04.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError) as caught:
        ImageFolder(str(root), size=(6, 5), channels=3, bits=8)
    assert "2 of 30 images cannot be used" in str(caught.value)
    assert str(root / "Fig" / "03.png") in str(caught.value) and str(root / "pear" / "04.png") in str(caught.value)
    with pytest.raises(DataError, match=r"03\.png"):
        ImageFolder(str(root))


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        ImageFolder(str(tmp_path / "none"))
    with pytest.raises(DataError, match="no images; put them into one folder for each class"):
        ImageFolder(str(tmp_path))
    fill(tmp_path / "a")
    with pytest.raises(DataError, match="only one class"):
        ImageFolder(str(tmp_path))
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=r"b: no images in this class folder"):
        ImageFolder(str(tmp_path))
    with pytest.raises(DataError, match="this is a file"):
        ImageFolder(str(tmp_path / "a" / "00.png"))
    fill(tmp_path / "b", 2)
    with pytest.raises(DataError, match="split would be empty"):
        ImageFolder(str(tmp_path), split=(0.98, 0.01, 0.01))


def test_a_name_that_is_no_utf8_is_refused(root: Path) -> None:
    (root / "pear").rename(root / os.fsdecode(b"p\xe4r"))
    with pytest.raises(DataError, match="not UTF-8"):
        ImageFolder(str(root))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"size": [0, 4]}, "size"),
        ({"size": [4]}, "size"),
        ({"channels": 0}, "channels"),
        ({"channels": "three"}, "channels"),
        ({"bits": 12}, "bits"),
        ({"cache_mb": -1}, "cache_mb"),
        ({"split": [0.5, 0.5]}, "split"),
    ],
)
def test_parameters_are_checked(root: Path, params: dict[str, Any], words: str) -> None:
    with pytest.raises(LamplighterError, match=words):
        registry.build("source", "image-folder", {"path": str(root), **params}, {"seed": 0})


def test_statistics_are_of_the_training_split(root: Path) -> None:
    source = ImageFolder(str(root))
    mean, deviation = source.statistics()["x"]
    x = source.split("train").fetch(np.arange(24))["x"].double()
    assert mean == pytest.approx(x.mean(dim=(0, 2, 3)).tolist(), rel=1e-12)
    assert deviation == pytest.approx(x.std(dim=(0, 2, 3), correction=0).tolist(), rel=1e-10)


def test_the_loader_prefetches_what_is_decoded_on_demand(root: Path) -> None:
    lazy, kept = (ImageFolder(str(root), cache_mb=mb).split("train") for mb in (0, 100))
    for one, two in zip(Loader(lazy, 7, seed=1), Loader(kept, 7, seed=1), strict=True):
        assert one["x"].equal(two["x"]) and one["y"].equal(two["y"])
    assert Loader(lazy, 7).prefetch > 0 == Loader(kept, 7).prefetch


def test_a_persisted_split_is_used_again_and_refused_when_files_were_added(root: Path) -> None:
    source = ImageFolder(str(root), seed=1)
    assert ImageFolder(str(root), seed=5, splits=source.splits).splits == source.splits
    fill(root / "pear", 11)
    with pytest.raises(DataError, match=r"covers 30 rows .* the data has 31 now"):
        ImageFolder(str(root), splits=source.splits)


def test_a_class_without_training_images_is_refused(root: Path) -> None:
    splits = ImageFolder(str(root)).splits
    moved = Splits(
        splits.train[splits.train >= 10], splits.val, np.append(splits.test, splits.train[splits.train < 10])
    )
    with pytest.raises(DataError, match="no image of class 'Fig' is in the training split"):
        ImageFolder(str(root), splits=moved)
