"""What the monitor watches is what it says, in the order the manifest has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamplighter.bundle.manifest import Feature
from lamplighter.bundle.runtime import Bundle, features
from lamplighter.core.errors import BundleError
from lamplighter.core.seeding import generator
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.preprocessing.pipeline import Pipeline


def test_image_statistics_pixel_by_pixel() -> None:
    x = generator(0, "pixels").integers(0, 256, (2, 3, 5, 6), dtype=np.uint8)
    for image, got in zip(x / 255.0, features.image_statistics(x)):
        grey = image.mean(axis=0)
        laplacian = [
            abs(4 * grey[i, j] - grey[i - 1, j] - grey[i + 1, j] - grey[i, j - 1] - grey[i, j + 1])
            for i in range(1, 4)
            for j in range(1, 5)
        ]
        mean = sum(image.ravel()) / image.size
        deviation = (sum((image.ravel() - mean) ** 2) / image.size) ** 0.5
        np.testing.assert_allclose(got, [mean, deviation, np.mean(laplacian)], rtol=1e-5)


def test_sixteen_bits_are_scaled_like_eight() -> None:
    x = generator(0, "pixels").integers(0, 256, (2, 1, 4, 4), dtype=np.uint8)
    wide = x.astype(np.float32) * 257
    np.testing.assert_allclose(features.image_statistics(wide), features.image_statistics(x), rtol=1e-5)


def test_tiny_images_have_no_sharpness() -> None:
    assert features.image_statistics(np.full((1, 1, 2, 9), 7, np.uint8))[0, 2] == 0


def test_blurred_is_less_sharp_and_dark_is_darker(digits_bundle: Bundle, digits: Any) -> None:
    raw = np.stack(digits.raw("val", np.arange(50)))
    blurred = ((raw.astype(int) + np.roll(raw, 1, axis=2)) // 2).astype(np.uint8)
    names = [feature.name for feature in digits_bundle.manifest.features]
    assert names[:3] == ["brightness", "contrast", "sharpness"]

    def medians(images: np.ndarray) -> np.ndarray:
        rows = list(images)
        tensors = digits_bundle.preprocess(rows)
        watched = digits_bundle.features(rows, tensors, digits_bundle.run(tensors))
        return np.asarray(np.median(watched, axis=0))

    clean = medians(raw)
    assert medians(raw // 2)[0] == pytest.approx(clean[0] / 2, rel=0.05)
    assert medians(blurred)[2] < 0.8 * clean[2]


def test_columns_of_a_table(trees_bundle: Bundle) -> None:
    assert [(feature.name, feature.kind, feature.origin) for feature in trees_bundle.manifest.features] == [
        ("size", "numeric", "column"),
        ("colour", "category", "column"),
        ("old", "category", "column"),
        ("planted", "numeric", "column"),
    ]
    row = {"size": None, "colour": "pink", "old": "yes", "planted": "1970-01-03"}
    tensors = trees_bundle.preprocess([row])
    got = trees_bundle.features([row], tensors, trees_bundle.run(tensors))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, [[np.nan, 3, 1, 2]])


def signature(kind: Any, *shape: int) -> Signature:
    return Signature(
        inputs=(Column(name="x", kind=kind, shape=shape),),
        tensors=(TensorSpec(name="x", dtype="float32", shape=shape),),
        targets=(Column(name="y", kind="numeric"),),
    )


def arrays(*shape: int) -> dict[str, np.ndarray]:
    return {"x": generator(0, "x").normal(size=(4, *shape)).astype(np.float32)}


def test_small_arrays_are_watched_entry_by_entry() -> None:
    x = arrays(2, 3)
    specs = features.describe(signature("array", 2, 3), Pipeline([]), x, {"embedding": np.zeros((4, 9))})
    assert [feature.name for feature in specs] == [f"x[{i}]" for i in range(6)]
    np.testing.assert_array_equal(features.compute(specs, Pipeline([]), [], x, {}), x["x"].reshape(4, 6))


def test_large_arrays_are_watched_through_the_embedding() -> None:
    x = arrays(70)
    outputs = {"embedding": generator(0, "e").normal(size=(4, 200)).astype(np.float32)}
    specs = features.describe(signature("array", 70), Pipeline([]), x, outputs)
    positions = [i * 200 // 64 for i in range(64)]
    assert [feature.name for feature in specs] == [f"embedding[{i}]" for i in positions]
    np.testing.assert_array_equal(
        features.compute(specs, Pipeline([]), [], x, outputs), outputs["embedding"][:, positions]
    )
    bare = features.describe(signature("array", 70), Pipeline([]), x, {})
    assert len(bare) == 64
    assert {feature.origin for feature in bare} == {"column"}


def test_an_image_without_an_embedding() -> None:
    specs = features.describe(signature("image", 1, 8, 8), Pipeline([]), arrays(1, 8, 8), {})
    assert [feature.name for feature in specs] == ["brightness", "contrast", "sharpness"]


def test_a_manifest_that_lists_other_features() -> None:
    specs = [Feature(name="x[0]", kind="numeric", origin="column")]
    with pytest.raises(BundleError, match="gives 6 features to watch, but the manifest has 1"):
        features.compute(specs, Pipeline([]), [], arrays(2, 3), {})
