"""The report's view of models that write: samples, and the rows that surprised the model most and least."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lamplighter.evaluate.glossary import figure
from lamplighter.evaluate.views import Judged, View

_SHOWN, _CHARACTERS = 5, 280
_WORDS: dict[str, dict[str, str]] = {
    "language-model": {
        "title": "What the model writes",
        "text": "Beginnings of test rows, what the model writes behind them when tokens are drawn by its probabilities "
        "(temperature 0.8, among the 40 likeliest), and what really stands there. It need not be the same: is it "
        "language, and does it stay with the matter?",
        "written": "written",
        "true": "really there",
    },
    "masked-lm": {
        "title": "What the model fills in",
        "text": "Test rows with hidden tokens, the model's likeliest token for each of them, and the true ones.",
        "written": "filled in",
        "true": "true",
    },
    "seq2seq": {
        "title": "What the model writes",
        "text": "Test rows, what the model writes for them, always the likeliest token next, and the true target.",
        "written": "written",
        "true": "true",
    },
}


def written(judged: Judged) -> View:
    """Samples and surprising rows of a language model, a masked one, or an encoder-decoder.

    Args:
        judged: its outputs have ``nll`` and ``tokens``; ``extra`` may have ``samples``.
    """
    kind = str(judged.recipe.get("task", {}).get("name", "language-model"))
    words = _WORDS.get(kind, _WORDS["language-model"])
    samples = [
        {**sample, "right": kind == "seq2seq" and sample["written"] == sample["true"]}
        for sample in judged.extra.get("samples", [])
    ]
    links = ([("samples", "Samples")] if samples else []) + [("surprise", "Surprising rows")]
    return {
        "links": links,
        "template": "written.html",
        "words": words,
        "samples": samples,
        "surprise": _surprise(judged),
    }


def lines(shown: Mapping[str, Any]) -> list[str]:
    """Samples for a terminal, two lines each.

    >>> lines({"samples": [{"given": "Call me", "written": " a whale", "true": " Ishmael"}]})
    ['sample: Call me', '     -> a whale']
    """
    found = []
    for sample in shown.get("samples", []):
        found += [f"sample: {_short(sample['given'], 100)}", f"     -> {_short(sample['written'], 200)}"]
    return found


def _surprise(judged: Judged) -> list[dict[str, str]]:
    """The rows with the highest mean -log probability of a token, and those with the lowest."""
    tokens = judged.outputs["tokens"]
    mean = judged.outputs["nll"] / np.maximum(tokens, 1)
    order = np.argsort(-mean, kind="stable")
    order = order[tokens[order] > 0]
    chosen = order if len(order) <= 2 * _SHOWN else np.concatenate([order[:_SHOWN], order[-_SHOWN:]])
    texts = [_text_of(row) for row in judged.raw(chosen)]
    return [
        {
            "perplexity": figure(float(np.exp(min(mean[row], 700.0)))),
            "tokens": f"{int(tokens[row]):,}",
            "text": _short(text, _CHARACTERS),
        }
        for row, text in zip(chosen, texts)
    ]


def _text_of(row: Any) -> str:
    return str(next(iter(row.values()))) if isinstance(row, dict) else str(row)


def _short(text: str, characters: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"
