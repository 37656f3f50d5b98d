"""A loaded bundle: raw rows in, answers out, by the very steps that training used."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lamplighter.bundle.manifest import Feature, Manifest
from lamplighter.bundle.runtime import archive, features, kinds
from lamplighter.bundle.runtime.reference import Reference
from lamplighter.bundle.runtime.session import Session
from lamplighter.core.errors import BundleError, InputError, LamplighterError, MissingExtraError
from lamplighter.core.signature import Column
from lamplighter.data.preprocessing.pipeline import Pipeline, Tensors

_CHUNK_BYTES = 1 << 20
_MIN_ROWS, _MAX_ROWS = 8, 1024


def load_bundle(path: str | Path, threads: int = 1) -> Bundle:
    """Open a bundle.

    Args:
        path: a bundle folder or .zip.
        threads: compute threads of the network.

    Raises:
        BundleError: not a bundle, a newer format, a missing or changed file, a network that does not fit the manifest.
        MissingExtraError: ONNX Runtime or Pillow is not installed.
    """
    path = Path(path)
    manifest, contents = archive.read(path)
    try:
        reference = Reference.from_bytes(contents[archive.REFERENCE])
        return Bundle(manifest, contents[archive.MODEL], reference, path, threads, contents)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from None


class Bundle:
    """A model with everything it needs to answer. Use `load_bundle`.

    Args:
        manifest: checked.
        model: contents of ``model.onnx``.
        reference: statistics of the validation rows; ``None`` only while a bundle is being made.
        path: where it was loaded from.
        threads: compute threads of the network.
        assets: contents by name of files that preprocessing reads.

    Attributes:
        manifest: see `lamplighter.bundle.manifest.Manifest`.
        kind: how outputs become answers, see `lamplighter.bundle.runtime.kinds`.
        path: folder or .zip; ``None`` while the bundle is being made.
    """

    def __init__(
        self,
        manifest: Manifest,
        model: bytes,
        reference: Reference | None,
        path: Path | None,
        threads: int = 1,
        assets: Mapping[str, bytes] | None = None,
    ) -> None:
        self.manifest = manifest
        self._path = path
        self._reference = reference
        self._pipeline = _pipeline(manifest, assets or {})
        self.kind = kinds.of(manifest.output, self._pipeline)
        self._session = Session(model, manifest, threads)
        self._check()

    @property
    def path(self) -> Path:
        """Folder or .zip it was loaded from."""
        if self._path is None:
            raise BundleError("this bundle is not on disk yet")
        return self._path

    @property
    def reference(self) -> Reference:
        """Statistics of the validation rows."""
        if self._reference is None:
            raise BundleError("this bundle has no reference yet")
        return self._reference

    @property
    def chunk_rows(self) -> int:
        """Rows computed at once: about a megabyte of input, so that memory stays bounded."""
        sizes = [4 * int(np.prod([size or 1 for size in spec.shape])) for spec in self.manifest.signature.tensors]
        return int(np.clip(_CHUNK_BYTES // max(1, sum(sizes)), _MIN_ROWS, _MAX_ROWS))

    def predict(self, x: Any) -> list[dict[str, Any]]:
        """One answer for each row.

        Args:
            x: a list of rows (dicts for tables; bytes, paths or arrays for images), one such row by itself, or one
                array of many rows: (N, ...) numbers, (N, H, W) or (N, H, W, C) images.

        Returns:
            Classification: ``label``, ``confidence``, ``probabilities`` by label. Regression: ``value``, or ``values``
            by target when there are several.

        Raises:
            InputError: names the row and field that do not fit.
        """
        return list(self.predict_iter(_rows_of(x, self.manifest.signature.inputs[0])))

    def predict_iter(self, rows: Iterable[Any], batch_size: int | None = None) -> Iterator[dict[str, Any]]:
        """`predict` over a stream: reads ``batch_size`` rows at a time and keeps no more.

        Args:
            rows: anything that yields single rows.
            batch_size: rows computed together; by default `chunk_rows`.
        """
        size = batch_size or self.chunk_rows
        stream = iter(rows)
        start = 0
        while chunk := list(itertools.islice(stream, size)):
            try:
                tensors = self.preprocess(chunk)
                yield from self.postprocess(self.run(tensors), tensors)
            except InputError as error:
                raise shifted(error, start) from None
            start += len(chunk)

    def preprocess(self, rows: Sequence[Any]) -> Tensors:
        """Tensors of raw rows; not chunked.

        Raises:
            InputError: names row and field.
        """
        return self._pipeline(rows) if self._pipeline.steps else self._stack(rows)

    def run(self, tensors: Tensors) -> Tensors:
        """The network's outputs by name, of as many passes as an answer takes. Safe to call from several threads.

        Raises:
            InputError: a tensor is missing or has another type or shape.
        """
        return self.kind.run(self.network, tensors)

    def network(self, tensors: Tensors) -> Tensors:
        """One pass of the network; of ``tensors`` it takes those of the signature.

        Raises:
            InputError: see `run`.
        """
        return self._session.run(tensors)

    def postprocess(self, outputs: Tensors, tensors: Tensors | None = None) -> list[dict[str, Any]]:
        """Answers, see `predict`.

        Args:
            outputs: of `run`.
            tensors: of `preprocess`; kinds that answer rows of different lengths need them.
        """
        return self.kind.answers(outputs, tensors or {})

    def scores_of(self, outputs: Tensors, tensors: Tensors | None = None) -> np.ndarray:
        """The numbers the monitor keeps, float64: probabilities (N, K), values (N, targets), or what the kind says."""
        return self.kind.scores(outputs, tensors or {})

    def features(self, rows: Sequence[Any], tensors: Tensors, outputs: Tensors) -> np.ndarray:
        """What the monitor watches: float32 (N, F) in the order of ``manifest.features``."""
        return features.compute(self.manifest.features, self._pipeline, rows, tensors, outputs)

    def describe_features(self, tensors: Tensors, outputs: Tensors) -> tuple[Feature, ...]:
        """What there is to watch, see `lamplighter.bundle.runtime.features.describe`."""
        return features.describe(self.manifest.signature, self._pipeline, tensors, outputs)

    def zip(self, path: str | Path) -> Path:
        """Write the bundle as one .zip, whole; returns its path.

        Raises:
            BundleError: the bundle on disk is damaged, or the folder of ``path`` does not exist.
        """
        archive.write_zip(self.path, Path(path))
        return Path(path)

    def __repr__(self) -> str:
        return f"Bundle({self.manifest.name!r}, version {self.manifest.version!r}, {self.manifest.output.kind})"

    def _stack(self, rows: Sequence[Any]) -> Tensors:
        """Plain arrays need no preprocessing but the right type and shape."""
        spec = self.manifest.signature.tensors[0]
        parts: list[np.ndarray] = []
        for position, row in enumerate(rows):
            try:
                array = np.asarray(row)
            except ValueError:  # lists of unequal length
                array = np.empty(0, object)
            if array.dtype.kind not in "biuf" or array.ndim != len(spec.shape):
                raise InputError(f"expected numbers in {len(spec.shape)} dimensions", row=position, field=spec.name)
            if any(want not in (None, got) for want, got in zip(spec.shape, array.shape)):
                raise InputError(f"expected shape {spec.shape}, not {array.shape}", row=position, field=spec.name)
            if parts and array.shape != parts[0].shape:
                raise InputError(
                    f"has shape {array.shape}, the first row {parts[0].shape}", row=position, field=spec.name
                )
            parts.append(_cast(array, np.dtype(spec.dtype), position, spec.name))
        shape = tuple(size or 0 for size in spec.shape)
        return {spec.name: np.stack(parts) if parts else np.empty((0, *shape), spec.dtype)}

    def _check(self) -> None:
        manifest, output = self.manifest, self.manifest.output
        if not manifest.outputs or manifest.outputs[0] != self.kind.first:
            raise BundleError(f"manifest.json: outputs: the first must be '{self.kind.first}' for {output.kind}")
        if self._reference is not None and len(self._reference.counts) != len(manifest.features):
            raise BundleError(
                f"reference.npz has {len(self._reference.counts)} features, manifest.json {len(manifest.features)}"
            )


def shifted(error: InputError, start: int) -> InputError:
    """The same error with its row counted from the start of the stream instead of the chunk."""
    row = None if error.row is None else error.row + start
    return type(error)(error.reason, row=row, field=error.field)


def _pipeline(manifest: Manifest, assets: Mapping[str, bytes]) -> Pipeline:
    try:
        pipeline = Pipeline(manifest.preprocessing, assets)
    except MissingExtraError:
        raise
    except (LamplighterError, KeyError) as error:
        raise BundleError(f"manifest.json: preprocessing: {error}") from None
    if not pipeline.steps and len(manifest.signature.tensors) != 1:
        raise BundleError("manifest.json: preprocessing: a model of several tensors needs steps")
    return pipeline


def _rows_of(x: Any, column: Column) -> Iterable[Any]:
    """Single rows of whatever `Bundle.predict` was given."""
    if isinstance(x, np.ndarray):
        if column.kind == "image" and x.ndim not in (3, 4):
            raise InputError(
                f"give images as an array (N, H, W) or (N, H, W, C), not {x.shape}; for one image: [array]"
            )
        if x.ndim == 0:
            raise InputError("give an array with one entry for each row")
        return x
    if isinstance(x, (dict, bytes, bytearray, str, Path)):
        return [x]
    if isinstance(x, (list, tuple)):
        return x
    raise InputError(f"give a list of rows or an array, not {type(x).__name__}; for a stream there is predict_iter")


def _cast(array: np.ndarray, dtype: np.dtype[Any], row: int, field: str) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype)
    if dtype.kind == "f":
        if not np.isfinite(cast).all():
            raise InputError("not all values are finite numbers", row=row, field=field)
    elif not (cast == array).all():
        raise InputError(f"not all values are {dtype} numbers", row=row, field=field)
    return cast
