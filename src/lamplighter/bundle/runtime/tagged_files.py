"""A tagging bundle over a file of tagged sentences: answers beside the truth, for scores."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import numpy as np

from lamplighter.bundle.runtime.bundle import Bundle
from lamplighter.core.errors import DataError, InputError
from lamplighter.data.tables.tagged import Tagged, read_tagged

_CHUNK = 256


def judge_tags(bundle: Bundle, data: Path, progress: bool = True) -> dict[str, np.ndarray]:
    """``predicted`` and ``y`` (N, M), index of each word's tag, -1 behind the last word of a sentence.

    Args:
        bundle: a loaded bundle of kind tagging.
        data: CoNLL columns or JSON lines, written like the training file.
        progress: show a progress bar on a terminal.

    Raises:
        DataError: a line that cannot be read, an unknown tag, or a sentence that the model does not take.
    """
    from rich.progress import track

    settings = bundle.manifest.recipe.get("data", {})
    words, tags = settings.get("words", 0), settings.get("tags", -1)
    if not data.is_file():
        raise DataError(f"{data}: no such file; a tagging model is scored on CoNLL columns or JSON lines")
    sentences = iter(read_tagged(data, words, tags, settings.get("encoding", "utf-8")))
    codes = {label: code for code, label in enumerate(bundle.manifest.output.labels)}
    pairs: list[tuple[list[int], list[int]]] = []
    chunks = iter(lambda: list(islice(sentences, _CHUNK)), [])
    for chunk in track(chunks, description="evaluating", disable=not (progress and sys.stderr.isatty())):
        true = [_codes(sentence, codes) for sentence in chunk]
        try:
            answers = bundle.predict([sentence.words for sentence in chunk])
        except InputError as error:
            raise DataError(f"{chunk[error.row or 0].where}: {error.reason}") from None
        pairs += [([codes[tag] for tag in answer["tags"]], own) for answer, own in zip(answers, true)]
    longest = max(len(own) for _, own in pairs)
    predicted, y = (np.full((len(pairs), longest), -1, np.int64) for _ in range(2))
    for row, (answered, own) in enumerate(pairs):
        predicted[row, : len(answered)], y[row, : len(own)] = answered, own
    return {"predicted": predicted, "y": y}


def _codes(sentence: Tagged, codes: dict[str, int]) -> list[int]:
    for word, tag in enumerate(sentence.tags):
        if tag not in codes:
            raise DataError(
                f"{sentence.at(word)}: the tag '{tag}' is unknown to the model; it knows {', '.join(codes)}"
            )
    return [codes[tag] for tag in sentence.tags]
