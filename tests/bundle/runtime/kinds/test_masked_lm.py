"""Hidden places filled from the left, each with those before it filled in."""

from __future__ import annotations

import numpy as np

from lamplighter.bundle.manifest import Output
from lamplighter.bundle.runtime.kinds.masked_lm import MaskedLM
from lamplighter.data.preprocessing.pipeline import Tensors

SETTINGS = {"vocabulary": {"size": 12, "pad": 0, "cls": 1, "sep": 2, "mask": 3}}


def after_the_left_one(tensors: Tensors) -> Tensors:
    """The first hidden token is one more than its left neighbour."""
    ids, mask = tensors["input_ids"], tensors["attention_mask"]
    place = ((ids == 3) & mask).argmax(axis=1)
    wanted = ids[np.arange(len(ids)), place - 1] + 1
    logits = np.eye(12, dtype=np.float32)[wanted] * 5
    return {"logits": logits, "log_probabilities": np.where(mask, -0.25, 0).astype(np.float32)}


def test_places_are_filled_one_after_the_other() -> None:
    kind = MaskedLM(Output(kind="masked-lm", settings=SETTINGS))
    ids = np.array([[1, 5, 3, 3, 2], [1, 7, 8, 9, 2]])
    tensors = {"input_ids": ids, "attention_mask": ids > 0}
    outputs = kind.run(after_the_left_one, tensors)
    assert outputs["places"].tolist() == [[2, 3], [2, -1]]
    assert outputs["fills"][0, :, 0].tolist() == [6, 7]
    assert outputs["visible"].tolist() == [3, 4]
    np.testing.assert_allclose(outputs["log_likelihood"], [-0.75, -1.0])
    likely = np.exp(5) / (np.exp(5) + 7)
    np.testing.assert_allclose(kind.scores(outputs, tensors), [[likely, -0.25], [likely, -0.25]], rtol=1e-6)
    assert (outputs["fills"] >= 0).sum(axis=2).tolist() == [[5, 5], [5, 0]]
    assert not np.isin(outputs["fills"], [0, 1, 2, 3]).any()
    assert ids[0].tolist() == [1, 5, 3, 3, 2]  # what a client sent is left alone
