"""The gate: what was exported computes what was trained, from raw rows to answers, or no bundle is written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lamplighter.bundle.manifest import Parity
from lamplighter.bundle.runtime.bundle import Bundle
from lamplighter.bundle.runtime.postprocess import FIRST_OUTPUT, scores_of
from lamplighter.core.errors import BundleError, InputError
from lamplighter.core.export_spec import ExportSpec
from lamplighter.data.preprocessing.pipeline import Tensors
from lamplighter.data.source import Source

BATCH_SIZES = (1, 2, 7)
ROWS = 64
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
    tensors = _served(bundle, rows)
    _check_training_tensors(source, repeated, tensors)
    alone = _torch(spec, tensors, 1)
    _check_outputs(bundle, alone)
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
    _check_answers(bundle, rows, alone)
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
        parts = [bundle.run(batch) for batch in _batches(tensors, batch_size)]
    except InputError as error:
        raise BundleError(f"parity failed: {how}: {error}") from error
    together = _torch(spec, tensors, batch_size)
    for name in spec.outputs:
        ours = np.concatenate([part[name] for part in parts])
        worst.add(ours, together[name], f"output '{name}', {how}")
        worst.add(ours, alone[name], f"output '{name}', {how} against torch row by row")


def _variations(bundle: Bundle, tensors: Tensors) -> Iterator[tuple[str, Tensors]]:
    """The same rows with other sizes of the varying dimensions: each axis alone, then all of them together."""
    specs = bundle.manifest.signature.tensors
    axes = sorted({axis for spec in specs for axis, size in enumerate(spec.shape, start=1) if size is None})
    together = [tuple(axes)] if len(axes) > 1 else []
    for chosen, change in itertools.product([*[(axis,) for axis in axes], *together], (1, 2)):
        varied = dict(tensors)
        for spec in specs:
            for axis in chosen:
                if axis <= len(spec.shape) and spec.shape[axis - 1] is None:
                    varied[spec.name] = _resized(varied[spec.name], axis, change)
        names = " and ".join(str(axis) for axis in chosen)
        sizes = "one longer" if change == 1 else "twice as long"
        yield f"dimension {names} {sizes}", varied


def _resized(array: np.ndarray, axis: int, change: int) -> np.ndarray:
    """One longer, or twice as long, along an axis; real values repeated."""
    size = array.shape[axis]
    target = size + 1 if change == 1 else 2 * size
    return np.take(array, np.arange(target) % size, axis=axis)


def _check_outputs(bundle: Bundle, outputs: Tensors) -> None:
    output = bundle.manifest.output
    names = output.labels if output.kind == "classification" else output.targets
    for name, array in outputs.items():
        if array.ndim != 2 or (name == FIRST_OUTPUT[output.kind] and array.shape[1] != len(names)):
            noun = "labels" if output.kind == "classification" else "targets"
            raise BundleError(f"the network's output '{name}' has shape {array.shape} for {len(names)} {noun}")
        if not np.isfinite(array).all():
            raise BundleError(f"the network's output '{name}' is not finite on validation rows; training has diverged")


def _check_answers(bundle: Bundle, rows: Sequence[Any], alone: Tensors) -> None:
    """Labels of ``predict`` on the raw rows against torch's; values against torch's values.

    A row whose probability in torch lies within `ATOL` of the threshold may be answered either way.
    """
    answers = bundle.predict(list(rows))
    output = bundle.manifest.output
    if output.kind == "classification":
        codes, near = alone["logits"].argmax(axis=1), np.zeros(len(rows), dtype=bool)
        if output.threshold is not None:
            scores = scores_of(output, alone)
            codes, near = output.classes(scores), abs(scores[:, output.positive] - output.threshold) <= ATOL
        wanted = [output.labels[k] for k in codes]
        wrong = [i for i, label in enumerate(wanted) if answers[i]["label"] != label and not near[i]]
        if wrong:
            raise BundleError(
                f"parity failed: {len(wrong)} of {len(rows)} labels differ, first '{answers[wrong[0]]['label']}' "
                f"where torch says '{wanted[wrong[0]]}'"
            )
        return
    values = [[answer["value"]] if "value" in answer else list(answer["values"].values()) for answer in answers]
    worst = Worst()
    worst.add(np.array(values), alone["value"], "answers")
    if worst.excess > 0:
        raise BundleError(f"parity failed: {worst.where}")
