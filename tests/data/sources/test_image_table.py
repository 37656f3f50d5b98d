"""Images listed in a table: paths, targets with blanks, and files that are missing or damaged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.core import registry
from lamplighter.core.errors import DataError
from lamplighter.data.sources.image_table import ImageTable
from lamplighter.data.splits import Splits


def _build(path: Path, targets: list[str], splits: Splits | None = None, **params: Any) -> ImageTable:
    params = {"path": str(path), "targets": targets, **params}
    source = registry.build("source", "image-table", params, {"seed": 0, "splits": splits})
    assert isinstance(source, ImageTable)
    return source


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """30 gray pictures; brightness is the picture's mean, kind its half of the scale, each now and then blank."""
    (tmp_path / "pictures").mkdir()
    rng = np.random.default_rng(0)
    rows = ["file;kind;brightness;spread"]
    for n in range(30):
        pixels = rng.integers(0, 128, size=(6, 5)) + (128 if n % 2 else 0)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "pictures" / f"{n}.png")
        kind = "" if n % 10 == 3 else ("bright" if n % 2 else "dark")
        brightness = "NA" if n % 7 == 2 else f"{pixels.mean():.3f}".replace(".", ",")
        rows.append(
            f"pictures/{n}.png;{kind};{brightness};{pixels.std():.3f}".replace(".", ",").replace(",png", ".png")
        )
    path = tmp_path / "list.csv"
    path.write_text("\n".join(rows))
    return path


def _rows(table: Path) -> list[list[str]]:
    return [line.split(";") for line in table.read_text().splitlines()[1:]]


def test_one_category_with_blanks(table: Path) -> None:
    source = _build(table, ["kind"], image="file")
    assert source.signature.labels == ("bright", "dark")
    for name in ("train", "val", "test"):
        positions = source.splits[name]
        batch = source.split(name).fetch(np.arange(len(positions)))
        words = [_rows(table)[position][1] for position in positions]
        assert batch["y"].tolist() == [{"bright": 0, "dark": 1, "": -1}[word] for word in words]
        raw = source.raw(name, np.arange(len(positions)))
        np.testing.assert_array_equal(source.preprocessing(raw)["x"], batch["x"])
        pixels = [np.asarray(Image.open(table.parent / "pictures" / f"{position}.png")) for position in positions]
        np.testing.assert_array_equal(batch["x"][:, 0], pixels)
    assert source.resolved() == {
        "target_kind": "category",
        "delimiter": ";",
        "encoding": "utf-8",
        "decimal": ",",
        "size": [6, 5],
        "channels": 1,
        "bits": 8,
    }
    mean, std = source.statistics()["x"]
    train = source.split("train").fetch(np.arange(len(source.splits.train)))["x"].double()
    np.testing.assert_allclose([mean[0], std[0]], [train.mean(), train.std(correction=0)], rtol=1e-10)


def test_several_numbers_with_blanks(table: Path) -> None:
    source = _build(table, ["spread", "brightness"], image="file", split=[0.6, 0.2, 0.2])
    assert [column.name for column in source.signature.targets] == ["spread", "brightness"]
    assert source.signature.facts()["num_classes"] == 2
    positions = source.splits.train
    y = source.split("train").fetch(np.arange(len(positions)))["y"].numpy()
    assert y.dtype == np.float32
    cells = [[row[3], row[2]] for row in (_rows(table)[position] for position in positions)]
    expected = [[math.nan if cell == "NA" else float(cell.replace(",", ".")) for cell in row] for row in cells]
    np.testing.assert_array_equal(y, np.array(expected, dtype=np.float32))
    mean, std = source.target_statistics()
    np.testing.assert_allclose(mean, np.nanmean(expected, axis=0), rtol=1e-12)
    np.testing.assert_allclose(std, np.nanstd(expected, axis=0), rtol=1e-12)


def test_the_split_can_be_used_again(table: Path) -> None:
    source = _build(table, ["brightness"], image="file")
    again = _build(table, ["brightness"], splits=source.splits, image="file", **source.resolved())
    assert again.splits == source.splits
    assert again.resolved() == source.resolved()


def test_missing_and_damaged_images_are_named_with_their_line(table: Path) -> None:
    folder = table.parent / "pictures"
    whole = (folder / "4.png").read_bytes()
    (folder / "4.png").write_bytes(whole[: len(whole) // 2])
    (folder / "9.png").write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        _build(table, ["kind"], image="file", size=[6, 5], channels=1, bits=8)
    message = str(caught.value)
    assert f"list.csv:6: {folder / '4.png'}: " in message
    assert f"list.csv:11: {folder / '9.png'}: not an image" in message
    (folder / "4.png").unlink()
    for n in range(12, 28):
        (folder / f"{n}.png").unlink()
    with pytest.raises(DataError) as caught:
        _build(table, ["kind"], image="file")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("17 of 30 images do not exist")
    assert lines[1] == f"  {table}:6: {folder / '4.png'}"
    assert len(lines) == 12
    assert lines[-1] == "  ... and 7 more"


@pytest.mark.parametrize(
    ("targets", "params", "message"),
    [
        (
            ["kind", "brightness"],
            {},
            r"list\.csv: 'kind' holds categories; a model is trained on one category target or",
        ),
        (["brightness", "spread"], {"target_kind": "category"}, "'brightness', 'spread' hold categories"),
        (["brightness", "brightness"], {}, "'brightness' stands there twice"),
        (["kinds"], {}, r"no column 'kinds' \(did you mean 'kind'\?\)"),
        (["kind"], {"image": "picture"}, "no column 'picture'"),
        (
            ["kind"],
            {"target_kind": "numeric"},
            r"list\.csv:2: column 'kind' is numeric in this recipe but holds 'dark'",
        ),
        (["kind"], {"split": [0.9, 0.05, 0.05], "targets": ["kind"]}, "no row of the (val|test) split has a value"),
    ],
)
def test_targets_that_cannot_be_trained(table: Path, targets: list[str], params: dict[str, Any], message: str) -> None:
    if "split" in params:
        text = table.read_text().splitlines()
        table.write_text(
            "\n".join(
                [
                    text[0],
                    *[
                        ";".join([row.split(";")[0], "" if n > 4 else "ab"[n % 2], *row.split(";")[2:]])
                        for n, row in enumerate(text[1:])
                    ],
                ]
            )
        )
    with pytest.raises(DataError, match=message):
        _build(table, **{"targets": targets, "image": "file", **params})


def test_a_typing_error_in_one_of_several_targets_is_named(table: Path) -> None:
    text = table.read_text().splitlines()
    first = text[5].rpartition(";")
    text[5] = f"{first[0]};4O,5"
    table.write_text("\n".join(text))
    with pytest.raises(DataError, match=r"list\.csv:6: column 'spread' is numeric in this recipe but holds '4O,5'"):
        _build(table, ["spread", "brightness"], image="file")


def test_blank_paths_and_repeated_images(table: Path) -> None:
    text = table.read_text()
    table.write_text(text.replace("pictures/8.png", "pictures/7.png"))
    assert "1 rows name an image that an earlier row has" in _build(table, ["kind"], image="file").notes[0]
    table.write_text(text.replace("pictures/8.png", ""))
    with pytest.raises(DataError, match=r"list\.csv:10: no image path in column 'file'"):
        _build(table, ["kind"], image="file")
