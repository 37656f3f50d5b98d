"""Writing token by token until the end token, rows by themselves."""

from __future__ import annotations

import numpy as np

from lamplighter.bundle.manifest import Output
from lamplighter.bundle.runtime.kinds.seq2seq import Seq2Seq
from lamplighter.data.preprocessing.pipeline import Tensors

SETTINGS = {"vocabulary": {"size": 9, "pad": 0, "bos": 1, "eos": 2}, "max_new_tokens": 4}


def copying(tensors: Tensors) -> Tensors:
    """The token of the source at the place that is to be written; behind it the end."""
    ids, mask, begun = tensors["input_ids"], tensors["attention_mask"], tensors["decoder_input_ids"]
    place = begun.shape[1] - 1
    source = ids[:, place] if place < ids.shape[1] else np.zeros(len(ids), int)
    inside = mask[:, place] if place < ids.shape[1] else np.zeros(len(ids), bool)
    logits = 6.0 * np.eye(9, dtype=np.float32)[np.where(inside, source, 2)]
    return {"logits": logits, "embedding": np.ones((len(ids), 3), np.float32)}


def test_each_row_ends_with_its_end_token_or_the_limit() -> None:
    kind = Seq2Seq(Output(kind="seq2seq", settings=SETTINGS))
    ids = np.array([[5, 6, 0, 0, 0], [4, 4, 7, 8, 3]])
    tensors = {"input_ids": ids, "attention_mask": ids > 0, "decoder_input_ids": np.ones((2, 1), np.int64)}
    outputs = kind.run(copying, tensors)
    assert outputs["written"].tolist() == [[5, 6, -1, -1], [4, 4, 7, 8]]
    assert outputs["choices"].tolist() == [3, 4] and outputs["embedding"].shape == (2, 3)
    scores = kind.scores(outputs, tensors)
    likely = np.exp(6) / (np.exp(6) + 6)
    np.testing.assert_allclose(scores, [[likely, 2], [likely, 4]], rtol=1e-6)
