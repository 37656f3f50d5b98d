"""A trained task becomes a bundle, whole and proven, or not at all."""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from lamplighter.bundle import card, parity
from lamplighter.bundle.manifest import FORMAT_VERSION, Feature, Manifest, Output, Parity
from lamplighter.bundle.runtime import archive, kinds
from lamplighter.bundle.runtime.bundle import Bundle, load_bundle
from lamplighter.bundle.runtime.reference import Reference
from lamplighter.core import files, registry
from lamplighter.core.errors import BundleError
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.recipe import BundleOptions, Recipe
from lamplighter.core.signature import Signature
from lamplighter.data.source import Source
from lamplighter.metrics.score import Score
from lamplighter.tasks.base import Task

FORMATS = ("onnx", "safetensors")
"""Written into every bundle; the recipe may name more."""
_CARD = "card.md"
_OWN = (archive.MANIFEST, archive.REFERENCE, _CARD)
EXAMPLE_ROWS = 3
REFERENCE_ROWS = 200
"""Validation rows of the reference where an answer takes many passes."""
_PACKAGES = ("lamplighter", "torch", "onnx", "onnxscript", "onnxruntime", "numpy", "Pillow")
_UNPROVEN = Parity(max_abs=0.0, atol=parity.ATOL, batch_sizes=parity.BATCH_SIZES, rows=0, labels_equal=False)


def export_bundle(
    out: Path,
    *,
    task: Task,
    source: Source,
    recipe: Mapping[str, Any],
    scores: Mapping[str, Score],
    version: str,
    temperature: float = 1.0,
    threshold: float | None = None,
    positive: int = 1,
    name: str | None = None,
) -> Path:
    """Write a bundle.

    Everything is made in a temporary folder that takes its name at the very end; a bundle that fails never exists, and
    one that stood at ``out`` stays as it was.

    Args:
        out: the bundle's folder; replaced when it exists.
        task: trained, with the weights to ship.
        source: the data it was trained on: signature, preprocessing and validation rows are taken from it.
        recipe: the resolved recipe as plain data. ``bundle.reference: summary`` keeps no validation rows,
            ``bundle.formats`` names formats to write besides `FORMATS`.
        scores: of the test split.
        version: shown in every answer; letters, digits and ``. _ -``, as in a recipe.
        temperature: divides logits before the softmax; fitted on the validation split.
        threshold: of two classes, the probability from which the positive one is answered; None: the likelier one is.
        positive: index of the positive class.
        name: of the model in URLs, of the same characters; by default the recipe's.

    Returns:
        ``out``.

    Raises:
        BundleError: a name or version of other characters; the network cannot be exported, or the parity gate refuses
            it; a format wrote another file than it says.
        UnknownComponentError: no such format.
    """
    name = str(recipe["name"]) if name is None else name
    _check_words(name, version)
    formats = _formats(recipe)
    spec = task.export()
    _check_spec(spec)
    draft = _draft(spec, source, recipe, scores, version, temperature, name)
    if threshold is not None:
        draft = draft.model_copy(update={"output": _with_threshold(draft.output, threshold, positive)})
    with files.directory(out) as folder:
        example = _example(source)
        written = _write_formats(formats, spec, folder, example, source.signature)
        written += _write_assets(source.preprocessing.assets, folder, written)
        model, assets = (folder / archive.MODEL).read_bytes(), source.preprocessing.assets
        bundle = Bundle(draft, model, None, None, assets=assets)
        proof = parity.check(bundle, spec, source)
        final = draft.model_copy(update={"parity": proof, "features": _features(bundle, source)})
        reference = _reference(Bundle(final, model, None, None, assets=assets), source, recipe)
        reference.save(folder / archive.REFERENCE)
        sizes = {split: len(source.split(split)) for split in ("train", "val", "test")}
        left_out = sorted(set(scores) - set(final.metrics))
        files.write_text(folder / _CARD, card.render(final, reference, sizes, left_out))
        hashes = {entry: files.sha256(folder / entry) for entry in [*written, archive.REFERENCE, _CARD]}
        final = final.model_copy(update={"files": hashes})
        files.write_json(folder / archive.MANIFEST, final.model_dump(mode="json"))
        _read_back(folder, source)
    return out


def _check_words(name: str, version: str) -> None:
    """A name and a version must be what a recipe could say."""
    for what, text, field in (
        ("name", name, Recipe.model_fields["name"]),
        ("version", version, BundleOptions.model_fields["version"]),
    ):
        try:
            TypeAdapter(field.rebuild_annotation()).validate_python(text)
        except ValidationError:
            first = ", the first of them a letter or digit" if what == "name" else ""
            raise BundleError(
                f"the bundle's {what} '{text}': use letters, digits, '.', '_' and '-' without spaces{first}"
            ) from None


def _formats(recipe: Mapping[str, Any]) -> dict[str, Callable[..., str]]:
    """Name -> writer of every format to write, each once."""
    named = recipe.get("bundle", {}).get("formats", ())
    return {name: registry.get("format", name) for name in (*FORMATS, *named)}


def _write_formats(
    formats: Mapping[str, Callable[..., str]],
    spec: ExportSpec,
    folder: Path,
    example: tuple[Tensor, ...],
    signature: Signature,
) -> list[str]:
    """The files written: one for each format, and no two of one name."""
    written: list[str] = []
    for name, write in formats.items():
        file = write(spec, folder, example, signature)
        if file in (*written, *_OWN):
            raise BundleError(f"format '{name}' writes '{file}', which the bundle has already; choose another name")
        if not (folder / file).is_file():
            raise BundleError(f"format '{name}' says that it wrote '{file}', but there is no such file")
        written.append(file)
    return written


def _write_assets(assets: Mapping[str, bytes], folder: Path, written: list[str]) -> list[str]:
    """Files that preprocessing reads, beside the network."""
    for name, content in assets.items():
        if name in (*written, *_OWN):
            raise BundleError(f"preprocessing needs a file '{name}', which the bundle has already; choose another name")
        files.write_bytes(folder / name, content)
    return list(assets)


def _check_spec(spec: ExportSpec) -> None:
    training = [name or type(spec.module).__name__ for name, m in spec.module.named_modules() if m.training]
    if training:
        raise BundleError(f"the exported network is in training mode ({training[0]}); call eval() in the task's export")
    for name, tensor in [*spec.module.named_parameters(), *spec.module.named_buffers()]:
        if tensor.device.type != "cpu" or (tensor.is_floating_point() and tensor.dtype != torch.float32):
            raise BundleError(f"'{name}' is {tensor.dtype} on {tensor.device}; export needs float32 on the CPU")
        if not torch.isfinite(tensor).all():
            raise BundleError(f"the weight '{name}' is not finite; training has diverged, lower the learning rate")
    first = kinds.first_output(spec.kind)
    if not spec.outputs or spec.outputs[0] != first:
        raise BundleError(f"the first output of a {spec.kind} network is '{first}', not {spec.outputs}")


def _draft(
    spec: ExportSpec,
    source: Source,
    recipe: Mapping[str, Any],
    scores: Mapping[str, Score],
    version: str,
    temperature: float,
    name: str,
) -> Manifest:
    """The manifest as far as it is known before anything is computed."""
    signature = source.signature
    targets = () if signature.labels else tuple(column.name for column in signature.targets)
    output = {"labels": signature.labels, "targets": targets, "temperature": temperature, "settings": spec.settings}
    return Manifest(
        format_version=FORMAT_VERSION,
        name=name,
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        signature=signature,
        preprocessing=tuple(source.preprocessing.specs),
        outputs=spec.outputs,
        output=Output.model_validate({"kind": spec.kind, **output}),
        features=(),
        metrics={key: score for key, score in scores.items() if _is_finite(score)},
        parity=_UNPROVEN,
        packages=_packages(),
        recipe=dict(recipe),
        files={},
        assets=tuple(source.preprocessing.assets),
    )


def _with_threshold(output: Output, threshold: float, positive: int) -> Output:
    try:
        return Output.model_validate({**output.model_dump(), "threshold": threshold, "positive": positive})
    except ValidationError as error:
        raise BundleError(f"the threshold {threshold} of class {positive}: {error.errors()[0]['msg']}") from None


def _is_finite(score: Score) -> bool:
    """JSON has no NaN: a score that the test split does not define is named in the card instead."""
    return all(math.isfinite(number) for number in (score.value, score.low, score.high))


def _packages() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # onnxruntime comes under several names
    return versions


def _example(source: Source) -> tuple[Tensor, ...]:
    indices = np.resize(np.arange(min(EXAMPLE_ROWS, len(source.split("val")))), EXAMPLE_ROWS)
    batch = source.split("val").fetch(indices)
    return tuple(_long_enough(batch[spec.name], spec.shape) for spec in source.signature.tensors)


def _long_enough(tensor: Tensor, shape: tuple[int | None, ...]) -> Tensor:
    """A size of 1 that varies, repeated: the exporter would take it for a constant."""
    for axis, size in enumerate(shape, start=1):
        if size is None and tensor.shape[axis] == 1:
            tensor = tensor.repeat_interleave(EXAMPLE_ROWS, dim=axis)
    return tensor


def _features(bundle: Bundle, source: Source) -> tuple[Feature, ...]:
    tensors = bundle.preprocess(source.raw("val", np.arange(1)))
    return bundle.describe_features(tensors, bundle.run(tensors))


def _reference(bundle: Bundle, source: Source, recipe: Mapping[str, Any]) -> Reference:
    """Statistics of all validation rows, by the code that serves; of some, where an answer takes many passes."""
    features: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    total = len(source.split("val"))
    count = min(total, REFERENCE_ROWS) if bundle.kind.many_passes else total
    looked_at = np.arange(total) if count == total else np.linspace(0, total - 1, count).astype(np.int64)
    for start in range(0, count, bundle.chunk_rows):
        rows = source.raw("val", looked_at[start : start + bundle.chunk_rows])
        tensors = bundle.preprocess(rows)
        outputs = bundle.run(tensors)
        features.append(bundle.features(rows, tensors, outputs))
        scores.append(bundle.scores_of(outputs, tensors))
    return Reference.build(
        np.concatenate(features),
        np.concatenate(scores),
        bundle.manifest.features,
        bundle.manifest.output,
        seed=recipe.get("seed", 0),
        keep_rows=recipe.get("bundle", {}).get("reference", "rows") == "rows",
    )


def _read_back(folder: Path, source: Source) -> None:
    """The finished folder loads and answers."""
    rows = source.raw("val", np.arange(min(2, len(source.split("val")))))
    if len(load_bundle(folder).predict(rows)) != len(rows):
        raise BundleError("the finished bundle does not answer every row")
