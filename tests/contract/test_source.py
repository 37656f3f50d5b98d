"""What every source must hold: a signature it keeps, splits that share nothing, and preprocessing that cannot skew."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.core import registry
from lamplighter.core.errors import DataError
from lamplighter.core.seeding import generator
from lamplighter.data.source import Source
from lamplighter.data.sources.moby_dick import find

Params = dict[str, Any]


def _pictures(folder: Path, labels: list[str], rng: np.random.Generator) -> None:
    for i, label in enumerate(labels):
        (folder / label).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (10, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / label / f"{i:03}.png")


def _rows(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def digits(folder: Path) -> Params:
    return {}


def fashion_mnist(folder: Path) -> Params:
    here = [Path("/usr/share/datasets/fashion-mnist")]
    if "LAMPLIGHTER_DATA" in os.environ:
        here.insert(0, Path(os.environ["LAMPLIGHTER_DATA"]) / "fashion-mnist")
    if not any(path.is_dir() for path in here):
        pytest.skip("Fashion-MNIST is not on this machine (Debian: apt-get install dataset-fashion-mnist)")
    return {}


def image_folder(folder: Path) -> Params:
    _pictures(folder, ["oak", "pine", "yew"] * 14, generator(0, "pictures"))
    return {"path": str(folder)}


def image_folder_of_16_bits(folder: Path) -> Params:
    rng = generator(0, "pictures")
    for i, label in enumerate(["soft", "hard"] * 20):
        (folder / label).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 65536, (7 + i % 3, 9), dtype=np.uint16)  # of several sizes, so that resizing is tried
        Image.fromarray(pixels).save(folder / label / f"{i:03}.png")
    return {"path": str(folder), "size": [8, 8]}


def table_of_classes(folder: Path) -> Params:
    rng = generator(0, "table")
    rows: list[list[object]] = []
    for i in range(60):
        size = "" if i % 11 == 0 else round(float(rng.normal(50, 20)), 3)
        rows.append([size, rng.choice(["red", "green", "blue"]), rng.integers(1, 9), ["oak", "yew"][i % 2]])
    _rows(folder / "trees.csv", ["size", "colour", "rooms", "tree"], rows)
    return {"path": str(folder / "trees.csv"), "target": "tree"}


def table_of_numbers(folder: Path) -> Params:
    rng = generator(0, "table")
    rows = [[float(rng.normal()), str(rng.choice(["a", "b"])), round(float(rng.normal(9, 2)), 4)] for _ in range(60)]
    _rows(folder / "prices.csv", ["x", "kind", "price"], [list(row) for row in rows])
    return {"path": str(folder / "prices.csv"), "target": "price"}


def table_of_patients(folder: Path) -> Params:
    """Split by group, columns selected: both are fitted, and must be the same when they are built again."""
    rng = generator(0, "patients")
    rows = [[f"p{i % 20}", *rng.normal(size=3).round(4).tolist(), ["ill", "well"][i % 3 % 2]] for i in range(80)]
    _rows(folder / "patients.csv", ["patient", "a", "b", "c", "state"], [list(row) for row in rows])
    rule = {"by": "group", "column": "patient"}
    return {"path": str(folder / "patients.csv"), "target": "state", "split": rule, "select": {"keep": 2}}


def image_table(folder: Path) -> Params:
    rng = generator(0, "image-table")
    _pictures(folder, ["all"] * 40, rng)
    rows = [
        [f"all/{i:03}.png", round(float(rng.normal(40, 9)), 3), "" if i % 9 == 0 else float(rng.normal())]
        for i in range(40)
    ]
    _rows(folder / "faces.csv", ["image", "age", "smile"], [list(row) for row in rows])
    return {"path": str(folder / "faces.csv"), "targets": ["age", "smile"]}


def image_table_of_classes(folder: Path) -> Params:
    _pictures(folder, ["all"] * 40, generator(0, "image-table"))
    rows: list[list[object]] = [[f"all/{i:03}.png", "" if i == 7 else ["oak", "yew"][i % 2]] for i in range(40)]
    _rows(folder / "trees.csv", ["image", "tree"], rows)
    return {"path": str(folder / "trees.csv"), "targets": ["tree"]}


def fashion_scenes(folder: Path) -> Params:
    return fashion_mnist(folder)


def _masked(folder: Path, sizes: list[tuple[int, int]]) -> None:
    rng = generator(0, "masked")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for i, size in enumerate(sizes):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / "images" / f"{i:03}.png")
        mask = rng.choice(np.array([0, 1, 2, 255], np.uint8), size)
        Image.fromarray(mask).save(folder / "masks" / f"{i:03}.png")


def mask_folder(folder: Path) -> Params:
    _masked(folder, [(10, 12)] * 40)
    return {"path": str(folder), "classes": ["sky", "sea", "sand"]}


def mask_folder_of_many_sizes(folder: Path) -> Params:
    _masked(folder, [(6 + i % 3, 9 - i % 4) for i in range(40)])
    return {"path": str(folder)}


def mask_folder_resized(folder: Path) -> Params:
    _masked(folder, [(6 + i % 3, 9 - i % 4) for i in range(40)])
    return {"path": str(folder), "size": [8, 7], "cache_mb": 0}


def _sentences(number: int) -> list[list[str]]:
    """Sentences of 1 to 30 words, from few words, so that a small vocabulary has them."""
    rng = generator(0, "sentences")
    known = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "Berlin", "Ada", "under", "green", "hills", "there"]
    return [[str(word) for word in rng.choice(known, int(rng.integers(1, 31)))] for _ in range(number)]


def text_table(folder: Path) -> Params:
    rows: list[list[object]] = [
        [" ".join(words) + "!", ["calm", "wild"][i % 2], i % 9] for i, words in enumerate(_sentences(60))
    ]
    _rows(folder / "texts.csv", ["text", "label", "user"], rows)
    return {"path": str(folder / "texts.csv"), "vocab_size": 80, "max_length": 20}


def text_table_of_users(folder: Path) -> Params:
    rule = {"by": "group", "column": "user"}
    return {**text_table(folder), "tokenizer": "bpe", "vocab_size": 300, "split": rule}


def text_folder(folder: Path) -> Params:
    for i, words in enumerate(_sentences(40)):
        (folder / ["calm", "wild"][i % 2]).mkdir(exist_ok=True)
        (folder / ["calm", "wild"][i % 2] / f"{i:03}.txt").write_text(" ".join(words), encoding="utf-8")
    return {"path": str(folder), "tokenizer": "words", "vocab_size": 30}


def conll(folder: Path) -> Params:
    tags = {"Berlin": "B-LOC", "Ada": "B-PER"}
    lines = ["\n".join(f"{word} {tags.get(word, 'O')}" for word in words) + "\n" for words in _sentences(60)]
    (folder / "words.txt").write_text("\n".join(lines), encoding="utf-8")
    return {"path": str(folder / "words.txt"), "vocab_size": 80}


def text_files(folder: Path) -> Params:
    """Two long documents, which are cut into blocks."""
    for name in ("one", "two"):
        (folder / f"{name}.txt").write_text(
            "\n\n".join(" ".join(words) + "." for words in _sentences(90)), encoding="utf-8"
        )
    return {"path": str(folder), "vocab_size": 300, "length": 16}


def text_files_of_documents(folder: Path) -> Params:
    for i, words in enumerate(_sentences(60)):
        (folder / f"{i:03}.txt").write_text(" ".join(words[:9]), encoding="utf-8")
    return {"path": str(folder), "tokenizer": "wordpiece", "vocab_size": 80, "length": 16, "around": "both"}


@pytest.fixture(scope="module", autouse=True)
def npm_packages() -> Iterator[None]:
    """Packages that `npm install --prefix tests/browser` put there are found, as are those of the user."""
    own = str(Path(__file__).parent.parent / "browser" / "node_modules")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NODE_PATH", own, prepend=os.pathsep)
        yield


def moby_dick(folder: Path) -> Params:
    try:
        find()
    except DataError as error:
        pytest.skip(str(error))
    return {"tokenizer": "characters", "vocab_size": 100}


def text_pairs(folder: Path) -> Params:
    rows: list[list[object]] = [[" ".join(words), " ".join(words[::-1]), "x"] for words in _sentences(60)]
    _rows(folder / "pairs.csv", ["text", "target", "more"], rows)
    return {"path": str(folder / "pairs.csv"), "vocab_size": 300, "max_length": 20}


def reversal(folder: Path) -> Params:
    return {"rows": 60, "shortest": 2, "longest": 7}


CASES: dict[str, list[Callable[[Path], Params]]] = {
    "text-files": [text_files, text_files_of_documents],
    "moby-dick": [moby_dick],
    "text-pairs": [text_pairs],
    "reversal": [reversal],
    "conll": [conll],
    "text-table": [text_table, text_table_of_users, text_folder],
    "digits": [digits],
    "fashion-mnist": [fashion_mnist],
    "fashion-scenes": [fashion_scenes],
    "mask-folder": [mask_folder, mask_folder_of_many_sizes, mask_folder_resized],
    "image-folder": [image_folder, image_folder_of_16_bits],
    "table": [table_of_classes, table_of_numbers, table_of_patients],
    "image-table": [image_table, image_table_of_classes],
}
"""For each source: functions that write a small data set into a folder and return the parameters that read it."""


NAMES = [name for name in registry.names("source") if name != "arrays"]  # in memory: tests/data/sources/test_arrays.py


@pytest.mark.parametrize("name", NAMES)
def test_source_has_a_case(name: str) -> None:
    assert CASES.get(name), f"add a function for source '{name}' to CASES in {__file__}, it writes a small data set"


@pytest.fixture(
    scope="module",
    params=[(name, case) for name in NAMES for case in CASES.get(name, [])],
    ids=lambda pair: pair[1].__name__,
)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Params]:
    name, write = request.param
    return name, write(tmp_path_factory.mktemp(name))


def build(case: tuple[str, Params], seed: int = 0, **facts: Any) -> Source:
    source: Source = registry.build("source", case[0], case[1], {"seed": seed, **facts})
    return source


@pytest.fixture(scope="module")
def source(case: tuple[str, Params]) -> Source:
    return build(case)


SPLITS = ("train", "val", "test")


@pytest.mark.parametrize("split", SPLITS)
def test_rows_are_what_the_signature_says(source: Source, split: str) -> None:
    batch = source.split(split).fetch(np.array([0, 2, 1]))
    images = source.signature.inputs[0].kind == "image"
    beside = {"y", "original_size"} if images and None in source.signature.tensors[0].shape else {"y"}
    assert set(batch) == {spec.name for spec in source.signature.tensors} | beside
    for spec in source.signature.tensors:
        tensor = batch[spec.name].numpy()
        assert tensor.dtype == spec.dtype
        assert len(tensor.shape) == 1 + len(spec.shape)
        assert all(want is None or got == want for got, want in zip(tensor.shape[1:], spec.shape))
        assert np.isfinite(tensor.astype(np.float64)).all()


def test_targets_are_what_the_signature_says(source: Source) -> None:
    for split in SPLITS:
        rows = source.split(split)
        y = rows.fetch(np.arange(min(len(rows), 500)))["y"].numpy()
        vocabulary = source.signature.vocabulary
        if vocabulary is not None and source.signature.targets[0].kind in ("tokens", "text"):
            assert y.dtype == np.int64 and y.ndim == 2 and y.min() >= -1 and y.max() < vocabulary.size
        elif source.signature.labels:
            assert y.dtype == np.int64 and y.ndim == {"mask": 3, "tags": 2}.get(source.signature.targets[0].kind, 1)
            assert y.min() >= -1 and y.max() < len(source.signature.labels)
        else:
            assert y.dtype == np.float32 and y.shape[1] == len(source.signature.targets)
            assert np.isfinite(y).any(axis=0).all()


def test_splits_are_disjoint_and_leave_nothing_out(source: Source) -> None:
    splits = source.splits
    parts = [splits.train, splits.val, splits.test]
    for split, part in zip(SPLITS, parts):
        assert part.dtype == np.int64
        packed = getattr(source, "packed", False)  # what is divided are stretches of text, of which rows are made
        assert len(part) > 0 and (len(source.split(split)) > 0 if packed else len(source.split(split)) == len(part))
    together = np.concatenate(parts)
    np.testing.assert_array_equal(np.sort(together), np.arange(len(together)))


@pytest.mark.parametrize("ratios", [(0.6, 0.2, 0.2), (0.7, 0.15, 0.15), (0.8, 0.1, 0.1)], ids=str)
def test_usual_ratios_are_met(case: tuple[str, Params], ratios: tuple[float, float, float]) -> None:
    name, params = case
    if "split" not in registry.schema("source", name).model_fields:
        pytest.skip("the split of this data set is given")
    splits = build((name, {**params, "split": list(ratios)})).splits
    parts = [len(splits.train), len(splits.val), len(splits.test)]
    classes = 10
    assert all(abs(part - ratio * sum(parts)) <= classes for part, ratio in zip(parts, ratios))


def test_the_seed_decides_the_splits(case: tuple[str, Params], source: Source) -> None:
    again, other = build(case), build(case, seed=1)
    assert again.splits.digest == source.splits.digest
    assert other.splits.digest != source.splits.digest
    for split in SPLITS:
        indices = np.arange(min(5, len(source.split(split))))
        first, second = source.split(split).fetch(indices), again.split(split).fetch(indices)
        assert all(np.array_equal(first[key], second[key], equal_nan=key == "y") for key in first)


def test_persisted_splits_are_used_again(case: tuple[str, Params], source: Source) -> None:
    assert build(case, seed=1, splits=source.splits).splits.digest == source.splits.digest


@pytest.mark.parametrize("split", SPLITS)
def test_preprocessing_a_raw_row_gives_the_row_that_is_trained_on(source: Source, split: str) -> None:
    """Bit for bit: the server runs the pipeline on what a client sends, training reads `fetch`."""
    rows = source.split(split)
    indices = np.arange(min(20, len(rows)))[::-1].copy()
    served = source.preprocessing(source.raw(split, indices))
    trained = rows.fetch(indices)
    for spec in source.signature.tensors:
        assert served[spec.name].dtype == spec.dtype
        np.testing.assert_array_equal(served[spec.name], trained[spec.name].numpy())


def test_fetch_takes_any_order_and_repeats(source: Source) -> None:
    rows = source.split("train")
    name = source.signature.tensors[0].name
    one_by_one = [rows.fetch(np.array([i])) for i in (3, 0, 3)]
    together = rows.fetch(np.array([3, 0, 3]))
    for i, single in enumerate(one_by_one):
        for key in (name, "y"):  # where sizes vary, together they are filled up to the largest
            own = tuple(slice(size) for size in single[key][0].shape)
            np.testing.assert_array_equal(together[key][i][own], single[key][0])


def test_resolved_parameters_are_a_recipe_for_the_same_data(case: tuple[str, Params], source: Source) -> None:
    again = build((case[0], {**case[1], **source.resolved()}))
    assert again.signature == source.signature
    assert again.preprocessing.specs == source.preprocessing.specs
    assert again.splits.digest == source.splits.digest


def test_statistics_are_those_of_the_training_rows(source: Source) -> None:
    """What the first layer of the network is given; rows of other splits must have no say."""
    statistics = getattr(source, "statistics", None)
    if statistics is None:
        pytest.skip("the inputs of this source are scaled by its preprocessing")
    rows = source.split("train")
    for name, (mean, std) in statistics().items():
        step = 1 if None in source.signature.tensors[0].shape else 5000  # alone nothing is filled up
        batches = (rows.fetch(np.arange(i, min(i + step, len(rows))))[name] for i in range(0, len(rows), step))
        sums = [(x.double().sum((0, 2, 3)), x.double().square().sum((0, 2, 3)), x[:, 0].numel()) for x in batches]
        total, squares = (np.sum([part[i].numpy() for part in sums], axis=0) for i in (0, 1))
        n = sum(part[2] for part in sums)
        np.testing.assert_allclose(mean, total / n, rtol=1e-6)
        np.testing.assert_allclose(std, np.sqrt(squares / n - (total / n) ** 2), rtol=1e-4)


def test_the_pipeline_survives_json(source: Source) -> None:
    import json

    from lamplighter.data.preprocessing.pipeline import Pipeline

    twin = Pipeline(json.loads(json.dumps(source.preprocessing.specs)), source.preprocessing.assets)
    raw = source.raw("val", np.array([0, 1]))
    for key, value in source.preprocessing(raw).items():
        np.testing.assert_array_equal(twin(raw)[key], value)
