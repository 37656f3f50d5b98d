"""Numbers that describe a text, for the monitor: a person can tell from them how texts have changed."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

NAMES = ("tokens", "characters", "characters_per_token", "non_letters", "capitals")
"""Tokens without begin and end; characters; their ratio, which falls when texts are of another language or field than
the tokenizer; the share of characters other than space that are no letters; the share of letters that are capitals."""

_NO_LETTER = re.compile(r"[\W\d_]+")


def of_texts(texts: Sequence[str], tokens: np.ndarray) -> np.ndarray:
    """(N, 5) float64, in the order of `NAMES`.

    Args:
        texts: at least one character other than space each.
        tokens: (N,) of each text, begin and end left out.

    >>> of_texts(["Is it 42?"], np.array([4]))
    array([[4.        , 9.        , 2.25      , 0.42857143, 0.25      ]])
    """
    found = np.empty((len(texts), len(NAMES)))
    for row, (text, count) in enumerate(zip(texts, tokens.tolist())):
        letters = _NO_LETTER.sub("", text)
        visible = len("".join(text.split()))
        capitals = sum(map(str.isupper, letters))
        found[row] = (
            count,
            len(text),
            len(text) / max(1, count),
            1 - min(len(letters), visible) / max(1, visible),
            capitals / max(1, len(letters)),
        )
    return found
