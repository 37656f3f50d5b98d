"""Writing on, token by token, with a network whose next token is known."""

from __future__ import annotations

import numpy as np

from lamplighter.bundle.manifest import Output
from lamplighter.bundle.runtime.kinds.language_model import LanguageModel
from lamplighter.data.preprocessing.pipeline import Tensors

SETTINGS = {"vocabulary": {"size": 9, "pad": 0, "bos": 1, "eos": 2}, "max_new_tokens": 5, "longest": 4}


def counting(seen: list[np.ndarray]) -> object:
    """The next token is one more; behind 8 comes the end."""

    def network(tensors: Tensors) -> Tensors:
        ids, mask = tensors["input_ids"], tensors["attention_mask"]
        seen.append(ids.copy())
        last = ids[np.arange(len(ids)), mask.sum(axis=1) - 1]
        following = np.where(last == 8, 2, last + 1)
        logits = 4.0 * np.eye(9, dtype=np.float32)[following]
        return {"logits": logits, "log_probabilities": np.where(mask, -0.5, 0).astype(np.float32)}

    return network


def test_rows_end_by_themselves_and_the_window_slides() -> None:
    seen: list[np.ndarray] = []
    kind = LanguageModel(Output(kind="language-model", settings=SETTINGS))
    ids = np.array([[1, 3, 0], [1, 5, 6]])
    tensors = {"input_ids": ids, "attention_mask": ids > 0}
    outputs = kind.run(counting(seen), tensors)  # type: ignore[arg-type]
    assert outputs["written"].tolist() == [[4, 5, 6, 7, 8], [7, 8, -1, -1, -1]]
    assert outputs["choices"].tolist() == [5, 3]  # the end is a choice, too
    assert seen[-1].tolist() == [[1, 5, 6, 7]]  # the first token and the last ones
    np.testing.assert_allclose(outputs["log_likelihood"], [-0.5, -1.0])
    assert outputs["foretold"].tolist() == [1, 2]
    scores = kind.scores(outputs, tensors)
    likely = np.exp(4) / (np.exp(4) + 6)  # padding and the begin token are never written
    np.testing.assert_allclose(scores, [[-0.5, likely, 5], [-0.5, likely, 2]], rtol=1e-6)
    alone = kind.run(counting([]), {name: array[:1, :2] for name, array in tensors.items()})  # type: ignore[arg-type]
    assert alone["written"].tolist() == outputs["written"][:1].tolist()
