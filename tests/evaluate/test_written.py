"""The report's view of models that write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.evaluate.views import Judged, view_of

TEXTS = Signature(
    inputs=(Column(name="text", kind="text"),),
    tensors=(TensorSpec(name="input_ids", dtype="int64", shape=(None,)),),
    targets=(Column(name="next token", kind="tokens"),),
)


@pytest.mark.parametrize("kind", ["language-model", "masked-lm", "seq2seq"])
def test_surprising_rows_stand_first_and_samples_are_passed_on(kind: Any) -> None:
    nll, tokens = np.arange(20.0), np.full(20, 2)
    tokens[19] = 0  # nothing to foretell in it
    texts = [{"text": f"row {number}  " + "x" * 400 * (number == 18)} for number in range(20)]
    sample = {"given": "a", "written": "b", "true": "b"}
    judged = Judged(
        {"nll": nll, "tokens": tokens},
        TEXTS,
        lambda rows: [texts[row] for row in rows],
        recipe={"task": {"name": kind}},
        extra={"samples": [sample]},
    )
    view = view_of(kind, judged)
    assert view["template"] == "written.html" and [link[0] for link in view["links"]] == ["samples", "surprise"]
    shown = [row["text"] for row in view["surprise"]]
    assert [text.split()[1] for text in shown] == [str(n) for n in (18, 17, 16, 15, 14, 4, 3, 2, 1, 0)]
    assert len(shown[0]) == 280 and view["surprise"][1]["perplexity"] == "4,915"
    assert view["samples"][0]["right"] == (kind == "seq2seq")
