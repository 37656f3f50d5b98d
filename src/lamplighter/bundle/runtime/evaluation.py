"""Scores of a bundle on labelled rows: a table with the target column, or a folder of images with one per class."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lamplighter.bundle.runtime import readers
from lamplighter.bundle.runtime.bundle import Bundle
from lamplighter.core.errors import DataError
from lamplighter.data.tables.reading import iter_rows
from lamplighter.data.tables.values import category
from lamplighter.metrics import classification, regression
from lamplighter.metrics.score import Score

CHUNK = 256


def evaluate_file(bundle: Bundle, data: Path, progress: bool = True) -> dict[str, Score]:
    """Predict every labelled row and compare.

    A regression has no ``loss`` here: in the scores of a run it is the squared error of standardised targets, whose
    scale the bundle does not keep. ``rmse`` says the same in the target's own units.

    Args:
        bundle: a loaded bundle.
        data: CSV or Parquet with the target columns under their names in training, written like the training table
            where the file itself does not tell; or a folder with one folder of images for each class, in which files
            that are no images are left alone.
        progress: show a progress bar on a terminal.

    Raises:
        DataError: a target column is missing, a label is unknown, or there are no rows.
        InputError: a row does not fit the signature.
    """
    from rich.progress import track

    predicted: list[np.ndarray] = []
    true: list[np.ndarray] = []
    rows = _labelled(bundle, data)
    chunks = iter(lambda: list(islice(rows, CHUNK)), [])
    for chunk in track(chunks, description="evaluating", disable=not progress):
        outputs = bundle.run(bundle.preprocess([row for row, _ in chunk]))
        predicted.append(bundle.scores_of(outputs))
        true.append(np.stack([target for _, target in chunk]))
    if not predicted:
        raise DataError(f"{data}: no labelled rows")
    scores, y = np.concatenate(predicted), np.concatenate(true)
    if bundle.manifest.output.kind == "classification":
        return classification.scores(scores, y)
    return {name: score for name, score in regression.scores(scores, y).items() if name != "loss"}


def _labelled(bundle: Bundle, data: Path) -> Iterator[tuple[Any, np.ndarray]]:
    if data.is_dir():
        yield from _labelled_images(bundle, data)
        return
    signature = bundle.manifest.signature
    targets = [column.name for column in signature.targets]
    kinds: dict[str, str] = {column.name: column.kind for column in signature.inputs}
    if bundle.manifest.output.kind == "regression":
        kinds |= dict.fromkeys(targets, "numeric")
    decimal, markers = readers.table_habits(bundle.manifest.recipe)
    rows = iter_rows(data, kinds, default_decimal=decimal, missing=markers)
    for number, row in enumerate(rows, start=1):
        missing = [name for name in targets if name not in row]
        if missing:
            raise DataError(f"{data}: no column '{missing[0]}', which holds the true answers")
        target = _target(bundle, [row.pop(name) for name in targets], f"{data}, row {number}")
        inputs = {name: value for name, value in row.items() if name in kinds}
        image = next((column.name for column in signature.inputs if column.kind == "image"), None)
        yield (data.parent / str(inputs[image]) if image else inputs), target


def _labelled_images(bundle: Bundle, folder: Path) -> Iterator[tuple[Any, np.ndarray]]:
    for path in readers.images_below(folder):
        yield path, _target(bundle, [path.parent.name], str(path))


def _target(bundle: Bundle, values: list[Any], where: str) -> np.ndarray:
    output = bundle.manifest.output
    if output.kind == "regression":
        return np.array([np.nan if value is None else value for value in values], np.float64)
    label = category(values[0]) or ""
    if label not in output.labels:
        raise DataError(f"{where}: the label '{label}' is unknown to the model; it knows {', '.join(output.labels)}")
    return np.array(output.labels.index(label))
