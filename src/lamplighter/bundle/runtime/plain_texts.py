"""A bundle of a language model over text files: how probable it finds each token, for scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lamplighter.bundle.runtime.bundle import Bundle
from lamplighter.bundle.runtime.kinds.texts import TextKind, padded
from lamplighter.bundle.runtime.progress import progress as show_progress
from lamplighter.core.errors import DataError
from lamplighter.data.documents import read_documents
from lamplighter.data.packing import pack_passages
from lamplighter.data.tables.jsonl import is_jsonl
from lamplighter.data.tokenization.pieces import token_bytes

_TABLES = {".csv", ".tsv", ".parquet", ".pq"}
_ROWS = 64


def judge_texts(bundle: Bundle, data: Path, progress: bool = True) -> dict[str, np.ndarray]:
    """Sums of each row, see `lamplighter.metrics.language`; without ``hits``, which the network does not tell.

    The texts are packed into rows as those of training are, so that a number means the same here and there.

    Args:
        bundle: a loaded bundle of kind language-model.
        data: a text file, or a folder of them.
        progress: show a progress bar on a terminal.

    Raises:
        DataError: no text is there, or nothing in it can be foretold.
    """
    kind = bundle.kind
    assert isinstance(kind, TextKind)
    if data.suffix.lower() in _TABLES or is_jsonl(data):
        raise DataError(f"{data}: a language model is scored on plain text; name a .txt file or a folder of them")
    settings = bundle.manifest.recipe.get("data", {})
    _, documents = read_documents(str(data), settings.get("files", "*.txt"), settings.get("encoding", "utf-8"))
    encoder, eos = kind.encoder, kind.vocabulary.eos
    end = "" if eos is None or settings.get("around", "begin") != "begin" else str(encoder.tokenizer.id_to_token(eos))
    room = kind.positive("longest") - len(encoder.begin) - len(encoder.end)
    rows = pack_passages(documents, [True] * len(documents), encoder, room, end, settings.get("join", True))
    known = token_bytes(encoder.tokenizer)
    found: list[dict[str, np.ndarray]] = []
    with show_progress("rows", lambda: len(rows), progress) as advance:
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            ids, mask = padded(list(encoder.texts(part).ids), kind.vocabulary.pad)
            found.append(_sums(bundle, ids, mask, known))
            advance(len(part))
    sums = {name: np.concatenate([part[name] for part in found]) for name in found[0]} if found else {}
    if not sums or not sums["tokens"].any():
        raise DataError(f"{data}: there is no token to foretell in this text")
    return sums


def _sums(bundle: Bundle, ids: np.ndarray, mask: np.ndarray, bytes_of: np.ndarray | None) -> dict[str, np.ndarray]:
    """Of the rows that have a second token."""
    log_p = bundle.network({"input_ids": ids, "attention_mask": mask})["log_probabilities"].astype(np.float64)
    counts = mask.copy()
    counts[:, 0] = False  # nothing foretells the first token
    sums = {"nll": -np.where(counts, log_p, 0.0).sum(axis=1), "tokens": counts.sum(axis=1)}
    if bytes_of is not None:
        sums["bytes"] = np.where(counts, bytes_of[ids], 0).sum(axis=1)
    return {name: each[counts.any(axis=1)] for name, each in sums.items()}
