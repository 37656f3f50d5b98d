"""Raw rows in, answers out; what does not fit is named by row and field."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lamplighter as lamp
from lamplighter.bundle.runtime import Bundle, bundle, load_bundle
from lamplighter.core.errors import BundleError, InputError, NotAnImageError

ROW = {"size": 51.5, "colour": "red", "old": "yes", "planted": "2024-05-17"}


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def test_every_way_to_give_images(digits_bundle: Bundle, digits: Any, tmp_path: Path) -> None:
    images = np.stack(digits.raw("test", np.arange(3)))
    expected = digits_bundle.predict(list(images))
    assert len(expected) == 3
    path = tmp_path / "one.png"
    path.write_bytes(png(images[0]))
    assert digits_bundle.predict(images) == expected
    assert digits_bundle.predict(images[..., None]) == expected
    assert digits_bundle.predict([png(image) for image in images]) == expected
    assert digits_bundle.predict(png(images[0])) == expected[:1]
    assert digits_bundle.predict(path) == expected[:1]
    assert digits_bundle.predict(str(path)) == expected[:1]
    assert digits_bundle.predict([str(path), path]) == [expected[0], expected[0]]
    assert digits_bundle.predict([{"image": png(images[0])}]) == expected[:1]


def test_every_way_to_give_rows_of_a_table(trees_bundle: Bundle) -> None:
    one = trees_bundle.predict(ROW)
    assert list(one[0]) == ["value"]
    assert trees_bundle.predict([ROW, ROW]) == one * 2
    assert trees_bundle.predict(({**ROW, "size": "51.5"},)) == one
    assert trees_bundle.predict([]) == []


def test_every_way_to_give_arrays(linear_bundle: Bundle, points: Any) -> None:
    expected = linear_bundle.predict(points.x[:5])
    assert linear_bundle.predict(list(points.x[:5])) == expected
    assert linear_bundle.predict(points.x[:5].tolist()) == expected
    assert linear_bundle.predict(points.x[:5].astype(np.float64)) == expected
    assert linear_bundle.predict(np.zeros((0, 4))) == []


def test_rows_do_not_depend_on_their_neighbours(linear_bundle: Bundle, points: Any) -> None:
    together = linear_bundle.predict(points.x)
    for row, answer in zip(points.x, together):
        alone = linear_bundle.predict(row[None])[0]
        assert alone["label"] == answer["label"]
        assert alone["confidence"] == pytest.approx(answer["confidence"], abs=1e-6)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (3, "give a list of rows or an array, not int"),
        ({"size", "colour"}, "not set"),
        (np.float32(3), "not float32"),
        (np.array(3.0), "one entry for each row"),
        ([[1, 2, 3]], r"row 0, field 'x': expected shape \(4,\), not \(3,\)"),
        ([[1, 2, 3, 4], "abcd"], "row 1, field 'x': expected numbers in 1 dimension"),
        ([[1, 2, 3, 4], [1, [2], 3, 4]], "row 1, field 'x': expected numbers"),
        ([[1, 2, 3, None]], "row 0, field 'x': expected numbers"),
        ([[1, 2, 3, float("nan")]], "row 0, field 'x': not all values are finite"),
        ([[1, 2, 3, 1e300]], "row 0, field 'x': not all values are finite"),
        ([ROW], "row 0, field 'x': expected numbers"),
    ],
)
def test_what_is_no_array(linear_bundle: Bundle, x: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        linear_bundle.predict(x)


def test_what_is_no_image(digits_bundle: Bundle) -> None:
    with pytest.raises(InputError, match=r"give images as an array \(N, H, W\)"):
        digits_bundle.predict(np.zeros((8, 8), np.uint8))
    with pytest.raises(NotAnImageError, match="row 1") as caught:
        digits_bundle.predict([png(np.zeros((8, 8), np.uint8)), b"not an image"])
    assert caught.value.status == 415


def test_the_row_is_counted_from_the_start_of_the_stream(trees_bundle: Bundle) -> None:
    rows = [dict(ROW) for _ in range(3000)]
    rows[2500]["size"] = "large"
    with pytest.raises(InputError, match="row 2500, field 'size'") as caught:
        trees_bundle.predict(rows)
    assert (caught.value.row, caught.value.field) == (2500, "size")


def test_streams_are_read_as_they_are_asked_for(linear_bundle: Bundle, points: Any) -> None:
    taken = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal taken
        for row in itertools.cycle(points.x):
            taken += 1
            yield row

    answers = list(itertools.islice(linear_bundle.predict_iter(endless(), batch_size=16), 40))
    assert taken == 48
    assert answers == linear_bundle.predict(points.x[:40])


def test_batches_hold_about_a_megabyte(digits_bundle: Bundle, linear_bundle: Bundle) -> None:
    assert linear_bundle.chunk_rows == 1024
    assert digits_bundle.chunk_rows == 1024
    wide = digits_bundle.manifest.signature.tensors[0].model_copy(update={"shape": (3, 224, 224)})
    signature = digits_bundle.manifest.signature.model_copy(update={"tensors": (wide,)})
    like = object.__new__(Bundle)
    like.manifest = digits_bundle.manifest.model_copy(update={"signature": signature})
    assert like.chunk_rows == 8


def test_many_threads_get_their_own_answers(linear_bundle: Bundle, points: Any) -> None:
    expected = [linear_bundle.predict(row[None]) for row in points.x]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda row: linear_bundle.predict(row[None]), list(points.x) * 5))
    assert got == expected * 5


def test_numbers_too_large_for_the_network(export: Any, random_weights: Any) -> None:
    from torch import nn

    module = random_weights(nn.Linear(4, 3))
    module.weight.data.mul_(1e10)
    made = load_bundle(export(module, scores={}))
    with pytest.raises(InputError, match="row 1: the network's answer is not a finite number"):
        made.predict([[0, 0, 0, 0], [3e38, 0, 0, 0]])


def test_integers_are_not_rounded_in_silence(export: Any, arrays: Any, random_weights: Any) -> None:
    from torch import Tensor, nn

    class Embeds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(50, 3)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.table(x).sum(1)
            return logits

    source = arrays((np.arange(180) % 50).reshape(90, 2))
    made = load_bundle(export(random_weights(Embeds()), source))
    assert len(made.predict([[1, 2.0]])) == 1
    with pytest.raises(InputError, match="row 0, field 'x': not all values are int64 numbers"):
        made.predict([[1, 2.5]])
    with pytest.raises(InputError, match="the network cannot compute"):
        made.predict([[1, 50]])


def test_the_public_face(linear_bundle: Bundle) -> None:
    again = lamp.load_bundle(str(linear_bundle.path))
    assert isinstance(again, lamp.Bundle)
    assert repr(again) == "Bundle('linear', version '1', classification)"


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"outputs": ("embedding", "logits")}, "the first must be 'logits'"),
        ({"outputs": ()}, "the first must be 'logits'"),
        ({"preprocessing": ({"name": "explode"},)}, "preprocessing: unknown preprocess 'explode'"),
        ({"preprocessing": ({"title": "resize"},)}, "preprocessing"),
        ({"preprocessing": ({"name": "resize", "height": -1, "width": 3},)}, "preprocessing"),
        ({"features": ()}, "reference.npz has 4 features, manifest.json 0"),
    ],
)
def test_manifests_that_contradict_themselves(linear_bundle: Bundle, update: dict[str, Any], message: str) -> None:
    manifest = linear_bundle.manifest.model_copy(update=update)
    model = (linear_bundle.path / "model.onnx").read_bytes()
    with pytest.raises(BundleError, match=message):
        bundle.Bundle(manifest, model, linear_bundle.reference, None)
