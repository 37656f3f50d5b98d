"""Scores of a bundle on labelled rows: a table with the target column, images in folders, tagged words, or texts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lamplighter.bundle.runtime import readers
from lamplighter.bundle.runtime.bundle import Bundle
from lamplighter.bundle.runtime.mask_folders import judge_masks
from lamplighter.bundle.runtime.plain_texts import judge_texts
from lamplighter.bundle.runtime.tagged_files import judge_tags
from lamplighter.bundle.runtime.text_pairs import judge_pairs
from lamplighter.core.errors import DataError, InputError
from lamplighter.data.tables.reading import iter_rows
from lamplighter.data.tables.values import category, numbers
from lamplighter.metrics import bootstrap, classification, language, regression, segmentation, tagging
from lamplighter.metrics.base import inputs
from lamplighter.metrics.of_texts import BLEU, ExactMatch
from lamplighter.metrics.score import Score

CHUNK = 256
_JUDGES = {
    "segmentation": judge_masks,
    "tagging": judge_tags,
    "language-model": judge_texts,
    "seq2seq": judge_pairs,
}
"""Kinds whose rows do not stand in a table with a column of classes or numbers."""


@dataclass(frozen=True)
class Judged:
    """Predictions beside the truth.

    Attributes:
        outputs: ``probabilities`` (N, K), ``answers`` (N,) and ``y`` (N,), or ``value`` (N, T) and ``y``, or
            ``confusion`` (N, K, K) of pixels, or ``predicted`` and ``y`` (N, M) of words, or ``texts`` and
            ``true_texts`` (N,), as `lamplighter.metrics.base.inputs` takes them; or sums of a language model.
        columns: values of the columns that were asked for, one for each row.
    """

    outputs: dict[str, np.ndarray]
    columns: dict[str, list[Any]]


def evaluate_file(bundle: Bundle, data: Path, progress: bool = True) -> dict[str, Score]:
    """Predict every labelled row and compare.

    A regression has no ``loss`` here: in the scores of a run it is the squared error of standardised targets, whose
    scale the bundle does not keep. ``rmse`` says the same in the target's own units. A segmentation has none either:
    its masks are judged at the images' own sizes, at which no probabilities are kept.

    Args:
        bundle: a loaded bundle.
        data: see `judge_file`.
        progress: show a progress bar on a terminal.

    Raises:
        DataError: a target column is missing, a label is unknown, or there are no rows.
        InputError: a row does not fit the signature.
    """
    outputs = judge_file(bundle, data, progress=progress).outputs
    return scores_of(bundle, outputs)


def scores_of(bundle: Bundle, outputs: dict[str, np.ndarray]) -> dict[str, Score]:
    """All scores of the outputs of `judge_file`."""
    if bundle.manifest.output.kind == "classification":
        p, y, answers = outputs["probabilities"], outputs["y"], outputs["answers"]
        return classification.scores(p, y, answers=answers, positive=bundle.manifest.output.positive)
    if bundle.manifest.output.kind == "segmentation":
        return segmentation.scores(outputs["confusion"])
    if bundle.manifest.output.kind == "tagging":
        unknown = np.full(len(outputs["y"]), np.nan)  # the probability of the true tags is not part of answers
        return tagging.scores(outputs["predicted"], outputs["y"], unknown, bundle.manifest.output.labels)
    if bundle.manifest.output.kind in ("language-model", "seq2seq"):
        seed = int(bundle.manifest.recipe.get("seed", 0))
        found = language.scores({name: each for name, each in outputs.items() if each.dtype != object}, seed)
        for metric in (ExactMatch(), BLEU()) if "texts" in outputs else ():
            score = bootstrap.score(metric, *inputs("texts", outputs), seed=seed)
            found |= {} if score is None else {metric.key: score}
        return found
    return {name: score for name, score in regression.scores(outputs["value"], outputs["y"]).items() if name != "loss"}


def judge_file(bundle: Bundle, data: Path, columns: Sequence[str] = (), progress: bool = True) -> Judged:
    """Predict every labelled row.

    Args:
        bundle: a loaded bundle.
        data: CSV or Parquet with the target columns under their names in training, written like the training table
            where the file itself does not tell; or a folder with one folder of images for each class, in which files
            that are no images are left alone; for a segmentation a folder of images and masks; for a tagging CoNLL
            columns or JSON lines; for a language model a text file or a folder of them; for a model that writes texts
            a table with the column to be written.
        columns: of the file, whose values to keep; they need not be inputs of the model.
        progress: show a progress bar on a terminal.

    Raises:
        DataError: a column is missing, a label is unknown, or there are no rows.
        InputError: a row does not fit the signature.
    """
    from rich.progress import track

    if bundle.manifest.output.kind == "masked-lm":
        raise DataError(
            f"{data}: a masked language model is scored where tokens are hidden at random, which its bundle does not "
            "do; score its run: lamp evaluate RUN"
        )
    for kind, judge in _JUDGES.items():
        if bundle.manifest.output.kind == kind:
            if columns:
                raise DataError(f"{data}: --by is not for {kind}; there is no column '{columns[0]}' to tell rows apart")
            return Judged(judge(bundle, data, progress), {})
    predicted: list[np.ndarray] = []
    true: list[np.ndarray] = []
    kept: dict[str, list[Any]] = {name: [] for name in columns}
    rows = _labelled(bundle, data, kept)
    chunks = iter(lambda: list(islice(rows, CHUNK)), [])
    for chunk in track(chunks, description="evaluating", disable=not (progress and sys.stderr.isatty())):
        try:
            tensors = bundle.preprocess([row for _, row, _ in chunk])
        except InputError as error:
            field = f"column '{error.field}': " if error.field else ""
            raise DataError(f"{chunk[error.row or 0][0]}: {field}{error.reason}") from None
        predicted.append(bundle.scores_of(bundle.run(tensors)))
        true.append(np.stack([target for _, _, target in chunk]))
    if not predicted:
        raise DataError(f"{data}: no labelled rows")
    scores, y = np.concatenate(predicted), np.concatenate(true)
    kept = {name: _numbers_if_it_has_them(bundle, name, values) for name, values in kept.items()}
    if bundle.manifest.output.kind == "classification":
        return Judged({"probabilities": scores, "answers": bundle.manifest.output.classes(scores), "y": y}, kept)
    return Judged({"value": scores, "y": y}, kept)


def _labelled(bundle: Bundle, data: Path, kept: dict[str, list[Any]]) -> Iterator[tuple[str, Any, np.ndarray]]:
    """Where each row stands, the row, and its true answer; appends to the columns to keep on the way."""
    output, signature = bundle.manifest.output, bundle.manifest.signature
    image = next((column.name for column in signature.inputs if column.kind == "image"), None)
    if data.is_dir():
        if image is None or output.kind != "classification":
            needed = "a table with the true answers" if image is None else "a table with image paths and true numbers"
            raise DataError(f"{data}: this is a folder; this model is scored on {needed}")
        if kept:
            raise DataError(f"{data}: a folder of images has no column '{next(iter(kept))}'")
        yield from _labelled_images(bundle, data)
        return
    settings = bundle.manifest.recipe["data"]
    targets = [column.name for column in signature.targets]
    kinds: dict[str, str] = {column.name: column.kind for column in signature.inputs}
    if output.kind == "regression":
        kinds |= dict.fromkeys(targets, "numeric")
    decimal, markers = readers.table_habits(bundle.manifest.recipe)
    paths = settings.get("image", image) if image else None
    texts = [column.name for column in signature.inputs if column.kind == "text"]
    stream = iter_rows(data, kinds, default_decimal=decimal, missing=markers, verbatim=texts)
    for number, row in enumerate(stream, start=1):
        columns = [*targets, *([paths] if paths else []), *kept]
        missing = [name for name in columns if name not in row]
        if missing:
            raise DataError(f"{data}: no column '{missing[0]}', which scoring needs; columns: {', '.join(row)}")
        where = f"{data}, row {number}"
        truth = [row[name] for name in targets]
        if settings.get("drop_blank_texts") and any(row[name] is None for name in texts):
            continue
        if settings.get("drop_blank_targets") and all(value is None for value in truth):
            continue
        for name, values in kept.items():
            values.append(row[name])
        inputs = {name: value for name, value in row.items() if name in kinds and name not in targets}
        yield where, data.parent / str(row[paths]) if paths else inputs, _target(bundle, truth, where)


def _numbers_if_it_has_them(bundle: Bundle, name: str, cells: list[Any]) -> list[Any]:
    """A column of the file that the model does not know, as numbers when all its texts are."""
    if any(column.name == name for column in (*bundle.manifest.signature.inputs, *bundle.manifest.signature.targets)):
        return cells
    decimal, _ = readers.table_habits(bundle.manifest.recipe)
    found, others = numbers(cells, decimal)
    return cells if others else [None if np.isnan(value) else value for value in found.tolist()]


def _labelled_images(bundle: Bundle, folder: Path) -> Iterator[tuple[str, Any, np.ndarray]]:
    for path in readers.images_below(folder):
        yield str(path), path, _target(bundle, [path.parent.name], str(path))


def _target(bundle: Bundle, values: list[Any], where: str) -> np.ndarray:
    output = bundle.manifest.output
    if output.kind == "regression":
        return np.array([np.nan if value is None else value for value in values], np.float64)
    label = category(values[0])
    if label is None:
        raise DataError(f"{where}: has no true answer")
    if label not in output.labels:
        raise DataError(f"{where}: the label '{label}' is unknown to the model; it knows {', '.join(output.labels)}")
    return np.array(output.labels.index(label))
