"""The gate: what was exported computes what was trained, from raw rows to answers, or no bundle is written."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lamplighter.bundle.manifest import Parity
from lamplighter.bundle.runtime.bundle import Bundle
from lamplighter.core.errors import BundleError, InputError
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.signature import TensorSpec
from lamplighter.data.preprocessing.pipeline import Tensors
from lamplighter.data.source import Source

BATCH_SIZES = (1, 2, 7)
MASK = "attention_mask"
"""The tensor that says which values of padded rows are real."""
ROWS = 64
ANSWERS = 8
"""Answers compared where one takes many passes; the network itself is compared on all rows."""
ATOL = 1e-4
RTOL = 1e-5
"""Of the largest number in the same row of the output: rounding errors grow with what was summed up."""


@dataclass
class Worst:
    """The largest difference seen so far.

    Attributes:
        max_abs: absolute.
        excess: how far beyond the bound the worst entry lies; negative when all entries hold.
        where: the output and how it was computed, for the error.
    """

    max_abs: float = 0.0
    excess: float = -np.inf
    where: str = ""

    def add(self, ours: np.ndarray, torchs: np.ndarray, where: str) -> None:
        """Compare one output of a batch.

        Raises:
            BundleError: shapes differ.
        """
        if ours.shape != torchs.shape:
            raise BundleError(f"parity failed: {where} has shape {ours.shape}, in torch {torchs.shape}")
        if not ours.size:
            return
        difference = np.abs(ours.astype(np.float64) - torchs)
        difference[np.isnan(difference)] = np.inf
        allowed = ATOL + RTOL * np.abs(torchs).max(axis=-1, keepdims=True)
        excess = float((difference - allowed).max())
        self.max_abs = max(self.max_abs, float(difference.max()))
        if excess > self.excess:
            self.excess, self.where = excess, f"{where}: largest difference {difference.max():.3g}"


def check(bundle: Bundle, spec: ExportSpec, source: Source) -> Parity:
    """Compare torch with the runtime on validation rows.

    The tensors training saw must equal what the bundle's preprocessing makes of the raw rows, bit for bit. Outputs must
    agree within ``ATOL + RTOL max|row|`` for batches of 1, 2 and 7 rows and for several sizes of every varying
    dimension, both with torch on the same batch and with torch on each row alone (an answer that depends on the
    neighbours in its batch is wrong too). Labels must be equal.

    Args:
        bundle: as the server will run it.
        spec: the network in torch.
        source: the data, for raw validation rows and the tensors training saw.

    Raises:
        BundleError: with the output, the batch size and the largest difference.
    """
    size = len(source.split("val"))
    indices = np.unique(np.linspace(0, size - 1, min(size, ROWS)).astype(np.int64))
    repeated = np.resize(indices, max(len(indices), max(BATCH_SIZES)))  # fewer rows than the largest batch
    rows = source.raw("val", repeated)
    served = _served(bundle, rows)
    _check_training_tensors(source, repeated, served)
    tensors = {spec.name: served[spec.name] for spec in bundle.manifest.signature.tensors}
    alone = _torch(spec, tensors, 1)
    _check_outputs(bundle, alone, served)
    worst = Worst()
    for batch_size in BATCH_SIZES:
        _compare(worst, bundle, spec, tensors, batch_size, alone, f"batches of {batch_size}")
    for name, varied in _variations(bundle, tensors):
        single = _torch(spec, varied, 1)
        for batch_size in BATCH_SIZES:
            _compare(worst, bundle, spec, varied, batch_size, single, f"batches of {batch_size}, {name}")
    if worst.excess > 0:
        raise BundleError(
            f"parity failed: {worst.where}, allowed {ATOL:g} + {RTOL:g} of the row's largest; the exported network "
            "does not compute what was trained, so no bundle was written"
        )
    _check_answers(bundle, spec, rows, served)
    return Parity(
        max_abs=worst.max_abs, atol=ATOL, rtol=RTOL, batch_sizes=BATCH_SIZES, rows=len(indices), labels_equal=True
    )


def _served(bundle: Bundle, rows: list[Any]) -> Tensors:
    try:
        return bundle.preprocess(rows)
    except InputError as error:
        raise BundleError(f"parity failed: the bundle refuses a validation row: {error}") from error


def _check_training_tensors(source: Source, indices: np.ndarray, served: Tensors) -> None:
    trained = source.split("val").fetch(indices)
    for spec in source.signature.tensors:
        ours, theirs = served[spec.name], trained[spec.name].numpy()
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            raise BundleError(
                f"parity failed: serving makes {ours.dtype} {ours.shape} of '{spec.name}', training saw "
                f"{theirs.dtype} {theirs.shape}"
            )
        equal = [a.tobytes() == b.tobytes() for a, b in zip(ours, theirs)]
        if not all(equal):
            raise BundleError(
                f"parity failed: in validation row {indices[equal.index(False)]} the tensor '{spec.name}' differs from "
                "what training saw; training and serving preprocess differently"
            )


def _torch(spec: ExportSpec, tensors: Tensors, batch_size: int) -> Tensors:
    """Outputs of the network in torch, computed ``batch_size`` rows at a time."""
    parts: list[tuple[torch.Tensor, ...]] = []
    with torch.no_grad():
        for batch in _batches(tensors, batch_size):
            # Copies: a network that works in place must not change what ONNX Runtime is given.
            given = (torch.from_numpy(array.copy()) for array in batch.values())
            result = spec.module(*given)
            parts.append(result if isinstance(result, tuple) else (result,))
    if len(parts[0]) != len(spec.outputs):
        raise BundleError(f"the network gives {len(parts[0])} outputs, the task names {', '.join(spec.outputs)}")
    return {name: torch.cat(values).numpy() for name, values in zip(spec.outputs, zip(*parts))}


def _batches(tensors: Tensors, batch_size: int) -> Iterator[Tensors]:
    rows = len(next(iter(tensors.values())))
    for start in range(0, rows, batch_size):
        yield {name: array[start : start + batch_size] for name, array in tensors.items()}


def _compare(
    worst: Worst, bundle: Bundle, spec: ExportSpec, tensors: Tensors, batch_size: int, alone: Tensors, how: str
) -> None:
    try:
        parts = [bundle.network(batch) for batch in _batches(tensors, batch_size)]
    except InputError as error:
        raise BundleError(f"parity failed: {how}: {error}") from error
    together = _torch(spec, tensors, batch_size)
    for name in spec.outputs:
        ours = np.concatenate([part[name] for part in parts])
        worst.add(ours, together[name], f"output '{name}', {how}")
        worst.add(ours, alone[name], f"output '{name}', {how} against torch row by row")


def _variations(bundle: Bundle, tensors: Tensors) -> Iterator[tuple[str, Tensors]]:
    """The same rows with other sizes of the varying dimensions: each alone, then all of them together."""
    specs = bundle.manifest.signature.tensors
    axes = sorted({(s.group, axis) for s in specs for axis, size in enumerate(s.shape, start=1) if size is None})
    together = [tuple(axes)] if len(axes) > 1 else []
    for chosen, how in itertools.product([*[(axis,) for axis in axes], *together], _SIZES):
        varied = {spec.name: _varied(spec, tensors, chosen, _SIZES[how]) for spec in specs}
        if any(varied[spec.name].shape != tensors[spec.name].shape for spec in specs):
            yield f"dimension {' and '.join(f'{group}{axis}' for group, axis in chosen)} {how}", varied


_SIZES: dict[str, Callable[[int], int]] = {
    "one longer": lambda size: size + 1,
    "twice as long": lambda size: 2 * size,
    "half as long": lambda size: max(1, size // 2),
}


def _varied(
    spec: TensorSpec, tensors: Tensors, axes: Sequence[tuple[str, int]], resize: Callable[[int], int]
) -> np.ndarray:
    """A tensor with other sizes of some axes, made of its own values repeated.

    Rows that were filled up with padding repeat what is before it, so that no padding comes to stand between values.
    """
    array = tensors[spec.name]
    for axis in [a for group, a in axes if group == spec.group and a <= len(spec.shape) and spec.shape[a - 1] is None]:
        target = min(resize(array.shape[axis]), spec.longest or np.iinfo(np.int64).max)
        if spec.pad is not None and MASK in tensors and tensors[MASK].shape == array.shape:
            lengths = np.maximum(tensors[MASK].sum(axis=1, keepdims=True), 1)
            array = np.take_along_axis(array, np.arange(target) % lengths, axis=1)
        else:
            array = np.take(array, np.arange(target) % array.shape[axis], axis=axis)
    return array


def _check_outputs(bundle: Bundle, outputs: Tensors, tensors: Tensors) -> None:
    bundle.kind.check_outputs(outputs, tensors)
    for name, array in outputs.items():
        if name == "embedding" and array.ndim != 2:
            raise BundleError(f"the network's output '{name}' has shape {array.shape}; it must be (rows, numbers)")
        if not np.isfinite(array).all():
            raise BundleError(f"the network's output '{name}' is not finite on validation rows; training has diverged")


def _check_answers(bundle: Bundle, spec: ExportSpec, rows: Sequence[Any], tensors: Tensors) -> None:
    """``predict`` on the raw rows against answers made of torch's outputs, each row alone."""
    if bundle.kind.many_passes:
        few = np.unique(np.linspace(0, len(rows) - 1, ANSWERS).astype(np.int64))
        rows, tensors = [rows[row] for row in few], {name: array[few] for name, array in tensors.items()}

    def network(given: Tensors) -> Tensors:
        return _torch(spec, {tensor.name: given[tensor.name] for tensor in bundle.manifest.signature.tensors}, 1)

    theirs = bundle.postprocess(bundle.kind.run(network, tensors), tensors)
    wrong = [found for a, b in zip(bundle.predict(list(rows)), theirs) if (found := bundle.kind.difference(a, b))]
    if wrong:
        raise BundleError(f"parity failed: {len(wrong)} of {len(rows)} answers differ, first {wrong[0]}")
