"""Whole files and folders through a bundle: aligned, located, whole or absent, in bounded memory."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lamplighter.bundle.manifest import Output
from lamplighter.bundle.runtime import Bundle, load_bundle
from lamplighter.bundle.runtime.files import _columns, predict_file
from lamplighter.core.errors import DataError
from lamplighter.core.seeding import generator


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Plain numbers, an unseen colour, a blank, and a column the model does not know."""
    path = tmp_path / "few.csv"
    path.write_text(
        "note,size,colour,old,planted\nfirst,51.5,red,yes,2024-05-17\nsecond,,pink,no,2024-01-01\n", encoding="utf-8"
    )
    return path


def test_csv_to_csv(trees_bundle: Bundle, few: Path, tmp_path: Path) -> None:
    assert predict_file(trees_bundle, few, tmp_path / "out.csv", progress=False) == 2
    rows = read(tmp_path / "out.csv")
    assert list(rows[0]) == ["note", "size", "colour", "old", "planted", "value"]
    assert [row["note"] for row in rows] == ["first", "second"]
    asked = [
        {"size": 51.5, "colour": "red", "old": "yes", "planted": "2024-05-17"},
        {"size": None, "colour": "pink", "old": "no", "planted": "2024-01-01"},
    ]
    assert [float(row["value"]) for row in rows] == [answer["value"] for answer in trees_bundle.predict(asked)]


def test_the_file_it_was_trained_on_gives_what_training_would(
    trees_bundle: Bundle, trees: Any, trees_csv: Path, tmp_path: Path
) -> None:
    """German numbers and blanks as they stand in the file, against the tensors training saw."""
    assert predict_file(trees_bundle, trees_csv, tmp_path / "out.jsonl", progress=False) == 120
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    tensors = trees.split("test").fetch(np.arange(len(trees.splits.test)))["x"].numpy()
    expected = trees_bundle.run({"x": tensors})["value"][:, 0]
    got = [rows[position]["value"] for position in trees.splits.test]
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert "," in rows[1]["size"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_output_says_the_same(trees_bundle: Bundle, few: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    predict_file(trees_bundle, few, out, progress=False)
    if suffix == ".parquet":
        values = pq.read_table(out)["value"].to_pylist()
    elif suffix == ".csv":
        values = [float(row["value"]) for row in read(out)]
    else:
        values = [json.loads(line)["value"] for line in out.read_text(encoding="utf-8").splitlines()]
    predict_file(trees_bundle, few, tmp_path / "again.csv", progress=False)
    assert values == [float(row["value"]) for row in read(tmp_path / "again.csv")]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_other_inputs(trees_bundle: Bundle, few: Path, tmp_path: Path, suffix: str) -> None:
    rows = [
        {"size": 51.5, "colour": "red", "old": True, "planted": "2024-05-17"},
        {"size": None, "colour": "pink", "old": False, "planted": "2024-01-01"},
    ]
    path = tmp_path / f"in{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    predict_file(trees_bundle, path, tmp_path / "out.csv", progress=False)
    predict_file(trees_bundle, few, tmp_path / "same.csv", progress=False)
    assert [row["value"] for row in read(tmp_path / "out.csv")] == [row["value"] for row in read(tmp_path / "same.csv")]


def spoilt(few: Path, **cells: str) -> Path:
    lines = few.read_text(encoding="utf-8").splitlines()
    row = dict(zip(lines[0].split(","), lines[2].split(",")))
    few.write_text(
        "\n".join([lines[0], lines[1], ",".join({**row, **cells}.values()), lines[1]]) + "\n", encoding="utf-8"
    )
    return few


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"size": "large"}, r"few\.csv:3: column 'size': expected a finite number"),
        ({"colour": ""}, r"few\.csv:3: column 'colour': is required"),
        ({"planted": "soon"}, r"few\.csv:3: column 'planted'"),
    ],
)
def test_a_bad_row_stops_with_its_line_and_leaves_no_file(
    trees_bundle: Bundle, few: Path, tmp_path: Path, cells: dict[str, str], message: str
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("what was here", encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        predict_file(trees_bundle, spoilt(few, **cells), out, progress=False)
    assert "\n" not in str(caught.value)
    assert out.read_text(encoding="utf-8") == "what was here"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.csv", "out.csv"]


def test_skipping_says_why_and_answers_the_others(trees_bundle: Bundle, few: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert predict_file(trees_bundle, spoilt(few, size="large"), out, on_error="skip", progress=False) == 2
    rows = read(out)
    assert [bool(row["value"]) for row in rows] == [True, False, True]
    assert rows[0]["value"] == rows[2]["value"]
    assert rows[0]["error"] == ""
    assert rows[1]["error"].startswith("column 'size': expected a finite number")


def test_a_broken_line_stops_even_when_skipping(trees_bundle: Bundle, few: Path, tmp_path: Path) -> None:
    few.write_text(few.read_text(encoding="utf-8") + "third,1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"few\.csv:4: broken row: 2 fields where the header has 5"):
        predict_file(trees_bundle, few, tmp_path / "out.csv", on_error="skip", progress=False)
    assert not (tmp_path / "out.csv").exists()


@pytest.fixture
def pictures(tmp_path: Path, digits: Any) -> Path:
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for i, image in enumerate(digits.raw("test", np.arange(5))):
        Image.fromarray(image).save(folder / ("sub" if i == 4 else "") / f"{i}.png")
    return folder


def test_a_folder_of_images(digits_bundle: Bundle, digits: Any, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert predict_file(digits_bundle, pictures, out, probabilities=True, progress=False) == 5
    rows = read(out)
    assert [row["file"] for row in rows] == ["0.png", "1.png", "2.png", "3.png", "sub/4.png"]
    for row, answer in zip(rows, digits_bundle.predict(digits.raw("test", np.arange(5)))):
        assert row["label"] == answer["label"]
        assert float(row["confidence"]) == answer["confidence"]
        assert [float(row[f"probability_{i}"]) for i in range(10)] == list(answer["probabilities"].values())


def test_a_corrupt_image_is_named(digits_bundle: Bundle, pictures: Path, tmp_path: Path) -> None:
    whole = (pictures / "2.png").read_bytes()
    (pictures / "2.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "3.png").write_text("not an image", encoding="utf-8")
    with pytest.raises(DataError, match=r"pictures/2\.png: .*damaged"):
        predict_file(digits_bundle, pictures, tmp_path / "out.jsonl", progress=False)
    assert not (tmp_path / "out.jsonl").exists()
    assert predict_file(digits_bundle, pictures, tmp_path / "out.jsonl", on_error="skip", progress=False) == 3
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["label"] is None for row in rows] == [False, False, True, True, False]
    assert rows[2]["error"].startswith(f"{pictures / '2.png'}: the image is damaged")


def test_a_row_only_the_network_cannot_compute(export: Any, random_weights: Any, tmp_path: Path) -> None:
    from torch import nn

    module = random_weights(nn.Linear(4, 3))
    module.weight.data.mul_(1e10)
    bundle = load_bundle(export(module, scores={}))
    path = tmp_path / "in.csv"
    path.write_text("a,b,c,d\n1,2,3,4\n3e38,3e38,0,0\n0,0,0,0\nx,0,0,0\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"in\.csv:5: .*expected numbers"):
        predict_file(bundle, path, tmp_path / "out.csv", progress=False)
    assert predict_file(bundle, path, tmp_path / "out.csv", on_error="skip", progress=False) == 2
    assert [row["error"][:25] for row in read(tmp_path / "out.csv")] == [
        "", "the network's answer is n", "", "column 'x': expected numb",
    ]  # fmt: skip


def test_arrays(linear_bundle: Bundle, points: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", points.x)
    assert predict_file(linear_bundle, tmp_path / "in.npy", tmp_path / "out.csv", progress=False) == 90
    assert [row["label"] for row in read(tmp_path / "out.csv")] == [a["label"] for a in linear_bundle.predict(points.x)]


def test_outputs_that_cannot_be_written(trees_bundle: Bundle, few: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for out, message in [
        (tmp_path / "out.xlsx", "name the output"),
        (tmp_path / "no" / "out.csv", "does not exist; make it first"),
        (few, "the input itself"),
        (tmp_path / "folder.csv", "is a folder"),
    ]:
        with pytest.raises(DataError, match=message):
            predict_file(trees_bundle, few, out, progress=False)


def test_names_of_the_columns_never_collide() -> None:
    classes = Output(kind="classification", labels=("a",))
    assert _columns(classes, ["x"], True, "raise") == {
        "label": "label", "confidence": "confidence", "probability_a": "probability_a",
    }  # fmt: skip
    assert list(_columns(classes, ["label"], False, "skip").values()) == [
        "predicted_label", "predicted_confidence", "error",
    ]  # fmt: skip
    errors = Output(kind="regression", targets=("error", "v"))
    assert _columns(errors, ["v", "error"], False, "skip") == {
        "error": "predicted_error", "v": "predicted_v", "": "prediction_error",
    }  # fmt: skip
    with pytest.raises(DataError, match="has a column 'predicted_label' already"):
        _columns(classes, ["label", "predicted_label"], False, "raise")


PEAK = """
import resource, sys
from pathlib import Path
from lamplighter.bundle.runtime import load_bundle
from lamplighter.bundle.runtime.files import predict_file
bundle, path, out = map(Path, sys.argv[1:])
print(predict_file(load_bundle(bundle), path, out, progress=False))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_memory_does_not_grow_with_the_file(trees_bundle: Bundle, tmp_path: Path, suffix: str) -> None:
    def peak_mb(rows: int) -> float:
        rng = generator(0, "many")
        path, out = tmp_path / f"{rows}.csv", tmp_path / f"out-{rows}{suffix}"
        with path.open("w", encoding="utf-8") as file:
            file.write("size,colour,old,planted,text\n")
            for size in rng.normal(50, 20, rows):
                file.write(f"{size:.4f},red,yes,2024-05-17,{'x' * 100}{size}\n")
        command = [sys.executable, "-c", PEAK, str(trees_bundle.path), str(path), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        predicted, peak = done.stdout.split()
        assert int(predicted) == rows
        return int(peak) / 1024

    small, large = peak_mb(20_000), peak_mb(300_000)  # 300,000 rows are 45 MB of text
    assert large < small + 20, f"{small:.0f} MB for 20,000 rows, {large:.0f} MB for 300,000"
