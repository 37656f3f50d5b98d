"""A bundle that writes texts, over a table with the right ones: answers beside the truth, for scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from lamplighter.bundle.runtime import readers
from lamplighter.bundle.runtime.bundle import Bundle
from lamplighter.bundle.runtime.kinds.texts import TextKind, padded
from lamplighter.bundle.runtime.progress import progress as show_progress
from lamplighter.core.errors import DataError, InputError
from lamplighter.data.preprocessing.pipeline import Tensors
from lamplighter.data.tables.reading import iter_rows

_ROWS = 64


def judge_pairs(bundle: Bundle, data: Path, progress: bool = True) -> dict[str, np.ndarray]:
    """``texts`` and ``true_texts`` (N,), written and right; and sums of each row (`lamplighter.metrics.language`).

    The sums are those of training: each token of the target, given the true ones before it.

    Args:
        bundle: a loaded bundle of kind seq2seq.
        data: CSV, Parquet or JSON lines with the column that is read and the one that was to be written.
        progress: show a progress bar on a terminal.

    Raises:
        DataError: a column is missing, a text is empty, or there are no rows.
    """
    kind = bundle.kind
    assert isinstance(kind, TextKind)
    if not data.is_file():
        raise DataError(f"{data}: there is no such file; name a table with texts and what is to be written for each")
    rows = _rows(bundle, data)
    found: list[dict[str, np.ndarray]] = []
    with show_progress("rows", lambda: 0, progress) as advance:
        while chunk := list(islice(rows, _ROWS)):
            try:
                tensors = bundle.preprocess([text for _, text, _ in chunk])
                answers = bundle.postprocess(bundle.run(tensors), tensors)
            except InputError as error:
                raise DataError(f"{chunk[error.row or 0][0]}: {error.reason}") from None
            targets = _targets(kind, [target for _, _, target in chunk])
            true = [kind.decode(row[:-1]) for row in targets]
            texts = {"texts": [str(answer["text"]) for answer in answers], "true_texts": true}
            sums = _sums(bundle, kind, tensors, targets)
            found.append({**sums, **{name: np.array(each, dtype=object) for name, each in texts.items()}})
            advance(len(chunk))
    if not found:
        raise DataError(f"{data}: no rows")
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def _rows(bundle: Bundle, data: Path) -> Iterator[tuple[str, dict[str, str], str]]:
    """Where each row stands, the row as a client sends it, and the text that is right."""
    signature = bundle.manifest.signature
    names = (signature.inputs[0].name, signature.targets[0].name)
    decimal, missing = readers.table_habits(bundle.manifest.recipe)
    kinds = dict.fromkeys(names, "text")
    stream = iter_rows(data, kinds, default_decimal=decimal, missing=missing, verbatim=names)
    for number, row in enumerate(stream, start=1):
        for name in names:
            if name not in row:
                raise DataError(f"{data}: no column '{name}', which scoring needs; columns: {', '.join(row)}")
            if not isinstance(row[name], str) or not row[name].strip():
                raise DataError(f"{data}, row {number}: no text in column '{name}'; fill it in, or remove the row")
        yield f"{data}, row {number}", {names[0]: row[names[0]]}, row[names[1]]


def _targets(kind: TextKind, texts: Sequence[str]) -> list[np.ndarray]:
    """Ids of targets with the end token."""
    encoded = kind.encoder.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [np.array([*each.ids, kind.vocabulary.eos], np.int64) for each in encoded]


def _sums(bundle: Bundle, kind: TextKind, tensors: Tensors, targets: list[np.ndarray]) -> dict[str, np.ndarray]:
    """One pass for each place of the longest target; rows that are over take no part."""
    begin = tensors["decoder_input_ids"]
    y, real = padded(targets, kind.vocabulary.pad)
    nll, hits = np.zeros(len(targets)), np.zeros(len(targets), np.int64)
    for place in range(y.shape[1]):
        on = np.flatnonzero(real[:, place])
        given = {name: tensors[name][on] for name in ("input_ids", "attention_mask")}
        before = np.concatenate([begin[on], y[on, :place]], axis=1)
        logits = bundle.network({**given, "decoder_input_ids": before})["logits"].astype(np.float64)
        best = logits.max(axis=1)
        true = logits[np.arange(len(on)), y[on, place]]
        nll[on] += best + np.log(np.exp(logits - best[:, None]).sum(axis=1)) - true
        hits[on] += logits.argmax(axis=1) == y[on, place]
    return {"nll": nll, "tokens": real.sum(axis=1), "hits": hits}
