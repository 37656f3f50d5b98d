"""A bundle over a whole file or folder: streaming in, answers out, memory bounded, the output whole or absent."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lamplighter.bundle.manifest import Output
from lamplighter.bundle.runtime import kinds, readers, writers
from lamplighter.bundle.runtime.bundle import Bundle
from lamplighter.bundle.runtime.progress import progress as show_progress
from lamplighter.bundle.runtime.readers import Item
from lamplighter.core import files
from lamplighter.core.errors import DataError, InputError

Answer = dict[str, Any]
OnError = Literal["raise", "skip"]


@dataclass(frozen=True)
class Refusal:
    """Why a row has no answer."""

    reason: str


def predict_file(
    bundle: Bundle,
    input: Path,
    out: Path,
    *,
    on_error: OnError = "raise",
    probabilities: bool = False,
    progress: bool = True,
) -> int:
    """Predict every row of a file, or every image of a folder.

    The output has the input's columns (for images ``file``) and then ``label`` and ``confidence``, or ``value``, or one
    column for each target. When the input has a column of such a name already, ``predicted_`` is put before them all.

    Args:
        bundle: loaded.
        input: see `lamplighter.bundle.runtime.readers.open_input`. What the training table took for missing is missing
            here too, and a CSV file that does not tell its decimal sign has that of the training table.
        out: ``.csv``, ``.jsonl`` or ``.parquet``; replaced when it exists, untouched when something fails.
        on_error: ``"raise"`` stops at the first row that does not fit; ``"skip"`` leaves its answer empty and says in a
            column ``error`` why. A file that cannot be read as a table stops either way.
        probabilities: for classes, add a column ``probability_<label>`` for each.
        progress: show a bar on stderr.

    Returns:
        Rows predicted.

    Raises:
        DataError: names file and line, or image, and what is wrong.
    """
    format = writers.format_of(out)
    if not out.parent.is_dir():
        raise DataError(f"{out}: the folder {out.parent} does not exist; make it first")
    if out.is_dir() or (out.exists() and input.exists() and out.samefile(input)):
        raise DataError(f"{out}: is a folder or the input itself; choose another name for the output")
    decimal, missing = readers.table_habits(bundle.manifest.recipe)
    source = readers.open_input(input, bundle.manifest.signature, decimal, missing)
    columns = _columns(bundle.manifest.output, source.names, probabilities, on_error)
    predicted = 0

    def write(temporary: Path) -> None:
        nonlocal predicted
        with (
            writers.open_writer(format, temporary, [*source.names, *columns.values()]) as writer,
            show_progress("rows", source.count, progress) as advance,
        ):
            while chunk := list(itertools.islice(source.items, bundle.chunk_rows)):
                answers = _answers(bundle, chunk, on_error)
                writer([_joined(item.cells, answer, columns) for item, answer in zip(chunk, answers)])
                predicted += sum(not isinstance(answer, Refusal) for answer in answers)
                advance(len(chunk))

    files.write_with(out, write)
    return predicted


def _columns(output: Output, taken: list[str], probabilities: bool, on_error: OnError) -> dict[str, str]:
    """Key of a flat answer -> column of the output file; the empty key is that of errors."""
    keys = kinds.of(output).fields(probabilities)
    prefix = "predicted_" if set(keys) & {*taken, "error"} else ""
    columns = {key: prefix + key for key in keys}
    if on_error == "skip":
        columns[""] = "prediction_error" if "error" in taken else "error"
    clash = [name for name in columns.values() if name in taken]
    if clash:
        raise DataError(f"the input has a column '{clash[0]}' already; rename it")
    return columns


def _joined(cells: Answer, answer: Answer | Refusal, columns: dict[str, str]) -> Answer:
    flat = {"": answer.reason} if isinstance(answer, Refusal) else answer
    return {**cells, **{name: flat.get(key) for key, name in columns.items()}}


def _answers(bundle: Bundle, chunk: Sequence[Item], on_error: OnError) -> list[Answer | Refusal]:
    """One flat answer for each row."""
    rows = [item.row for item in chunk]
    try:
        return [bundle.kind.flat(answer) for answer in bundle.predict(rows)]
    except InputError as error:
        if on_error == "raise":
            raise DataError(_located(error, chunk)) from None
    # Only in a chunk that has a bad row are rows tried one by one, and the good ones are still computed together.
    refusals = [_refusal(bundle.preprocess, item) for item in chunk]
    try:
        answers = iter(bundle.predict([row for row, refusal in zip(rows, refusals) if refusal is None]))
    except InputError:  # the network itself does not get along with one of them
        return [_refusal(bundle.predict, item) or bundle.kind.flat(bundle.predict([item.row])[0]) for item in chunk]
    return [refusal or bundle.kind.flat(next(answers)) for refusal in refusals]


def _refusal(work: Callable[[list[Any]], Any], item: Item) -> Refusal | None:
    try:
        work([item.row])
    except InputError as error:
        return Refusal(_reason(error, item))
    return None


def _located(error: InputError, chunk: Sequence[Item]) -> str:
    item = chunk[error.row or 0]
    return f"{item.where}: {_reason(error, item)}" if item.where else _reason(error, item)


def _reason(error: InputError, item: Item) -> str:
    """An image of a folder has no column, and names its file itself."""
    return f"column '{error.field}': {error.reason}" if error.field and item.where else error.reason
