"""Pairs of texts out of a table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.sources.text_pairs import TextPairs


def _file(folder: Path, rows: list[dict[str, str]]) -> str:
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


ROWS = [{"en": f"the number {n}", "de": f"die Zahl {n}"} for n in range(40)]


def test_both_sides_share_one_vocabulary_and_targets_end(tmp_path: Path) -> None:
    source = TextPairs(_file(tmp_path, ROWS), text="en", target="de", vocab_size=320)
    batch = source.split("test").fetch(np.arange(4))
    raw = source.raw("test", np.arange(4))
    for row, y in zip(raw, batch["y"].numpy()):
        kept = y[y >= 0]
        assert kept[-1] == 3
        assert source.tokenizer.decode(kept) == row["en"].replace("the number", "die Zahl")
    assert (batch["decoder_input_ids"] == 2).all() and batch["decoder_input_ids"].shape == (4, 1)


def test_the_longest_that_is_written_leaves_room(tmp_path: Path) -> None:
    source = TextPairs(_file(tmp_path, ROWS), text="en", target="de", vocab_size=320)
    longest = max(int((source.split(name).fetch(np.arange(4))["y"] >= 0).sum(1).max()) for name in ("train", "val"))
    assert (source.signature.tensors[2].longest or 0) >= 1.5 * longest


def test_a_row_without_a_text_is_named(tmp_path: Path) -> None:
    path = _file(tmp_path, [*ROWS[:4], {"en": "five", "de": ""}])
    with pytest.raises(DataError, match=r"pairs.jsonl.*5.*no text in column 'de'"):
        TextPairs(path, text="en", target="de")
    with pytest.raises(DataError, match="both read and written"):
        TextPairs(path, text="en", target="en")
    with pytest.raises(DataError, match="'fr'"):
        TextPairs(path, text="en", target="fr")
