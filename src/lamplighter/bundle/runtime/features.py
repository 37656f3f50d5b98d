"""The numbers the monitor watches for each prediction: table columns, statistics of images and texts, the embedding.

Legend: N rows, F features, D entries of an embedding, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamplighter.bundle.manifest import Feature
from lamplighter.core.errors import BundleError
from lamplighter.core.signature import Signature
from lamplighter.data.preprocessing.pipeline import Pipeline, Tensors, own_sizes

IMAGE_STATISTICS = ("brightness", "contrast", "sharpness")
MAX_ENTRIES = 64


def describe(signature: Signature, pipeline: Pipeline, tensors: Tensors, outputs: Tensors) -> tuple[Feature, ...]:
    """What to watch, decided at export.

    A table is watched by its columns, since a person can act on those; an image or a text by its statistics (of texts
    `lamplighter.data.preprocessing.text_statistics`) and the embedding; a plain array by its entries, or by the
    embedding when it has more than `MAX_ENTRIES` of them.

    Args:
        signature: of the model.
        pipeline: its preprocessing.
        tensors: of some rows.
        outputs: of the same rows.
    """
    table = _table_step(pipeline)
    if table is not None:
        return tuple(Feature(origin="column", **spec) for spec in table.feature_specs())
    features: list[Feature] = []
    if signature.inputs[0].kind == "image":
        features += [Feature(name=name, kind="numeric", origin="image") for name in IMAGE_STATISTICS]
    text = _text_step(pipeline)
    if text is not None:
        features += [Feature(name=name, kind="numeric", origin="text") for name in text.statistic_names()]
        if "embedding" not in outputs:
            return tuple(features)
    first = signature.tensors[0].name
    small = not features and tensors[first][0].size <= MAX_ENTRIES
    if small or (not features and "embedding" not in outputs):
        return _entries_of(first, "column", tensors[first])
    if "embedding" in outputs:
        features += _entries_of("embedding", "embedding", outputs["embedding"])
    return tuple(features)


def compute(
    features: Sequence[Feature], pipeline: Pipeline, rows: Sequence[Any], tensors: Tensors, outputs: Tensors
) -> np.ndarray:
    """The features of one batch.

    Args:
        features: as `describe` made them.
        pipeline: the model's preprocessing.
        rows: raw rows.
        tensors: what preprocessing made of them.
        outputs: of the network.

    Returns:
        float32 (N, F) in the order of ``features``; categories as codes, NaN where missing.
    """
    origins = {feature.origin for feature in features}
    first = next(iter(tensors.values()))
    table = _table_step(pipeline)
    parts = [np.empty((len(first), 0), np.float32)]
    if "column" in origins:
        parts.append(table.features(rows) if table is not None else _entries(first))
    if "image" in origins:
        parts.append(_of_images(first, own_sizes(pipeline.steps, tensors)))
    if "text" in origins:
        parts.append(_text_step(pipeline).statistics(rows, tensors))
    if "embedding" in origins:
        parts.append(_entries(outputs["embedding"]))
    result = np.concatenate(parts, axis=1).astype(np.float32, copy=False)
    if result.shape[1] != len(features):
        raise BundleError(f"the model gives {result.shape[1]} features to watch, but the manifest has {len(features)}")
    return result


def image_statistics(x_NCHW: np.ndarray) -> np.ndarray:
    """Brightness (mean), contrast (standard deviation) and sharpness (mean |Laplacian| of the grey image), 0..1 scaled.

    Args:
        x_NCHW: uint8, or float32 holding 0..65535 (16 bit), as the preprocessing of images gives it.

    Returns:
        float32 (N, 3). Sharpness is 0 for images without inner pixels.

    >>> flat = np.full((1, 1, 4, 4), 51, np.uint8)
    >>> image_statistics(flat).round(3)
    array([[0.2, 0. , 0. ]], dtype=float32)
    """
    scale = np.float32(1 / 255 if x_NCHW.dtype == np.uint8 else 1 / 65535)
    x = x_NCHW.astype(np.float32) * scale
    grey = x.mean(axis=1)
    inner = grey[:, 1:-1, 1:-1]
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    laplacian = np.abs(4 * inner - around)
    sharpness = laplacian.mean(axis=(1, 2)) if inner.size else np.zeros(len(x), np.float32)
    return np.stack([x.mean(axis=(1, 2, 3)), x.std(axis=(1, 2, 3)), sharpness], axis=1)


def _of_images(x_NCHW: np.ndarray, sizes: np.ndarray | None) -> np.ndarray:
    """`image_statistics` of images, each without what it was filled up with."""
    if sizes is None:
        return image_statistics(x_NCHW)
    return np.concatenate([image_statistics(x[None, :, :h, :w]) for x, (h, w) in zip(x_NCHW, sizes)])


def _table_step(pipeline: Pipeline) -> Any:
    """The step that knows columns, or ``None``."""
    return next((step for step in pipeline.steps if hasattr(step, "feature_specs")), None)


def _text_step(pipeline: Pipeline) -> Any:
    """The step that reads texts, or ``None``."""
    return next((step for step in pipeline.steps if hasattr(step, "statistic_names")), None)


def _picked(size: int) -> np.ndarray:
    """Up to `MAX_ENTRIES` positions spread evenly: neighbours in a flattened feature map say the same."""
    count = min(size, MAX_ENTRIES)
    return np.arange(count) * size // max(count, 1)


def _entries(array: np.ndarray) -> np.ndarray:
    flat = array.reshape(len(array), -1)
    return flat[:, _picked(flat.shape[1])].astype(np.float32)


def _entries_of(name: str, origin: Any, array: np.ndarray) -> tuple[Feature, ...]:
    positions = _picked(array[0].size)
    return tuple(Feature(name=f"{name}[{position}]", kind="numeric", origin=origin) for position in positions)
