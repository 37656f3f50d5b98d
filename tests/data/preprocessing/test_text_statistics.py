"""Numbers of a text, counted character by character."""

from __future__ import annotations

import numpy as np

from lamplighter.data.preprocessing.text_statistics import NAMES, of_texts

TEXTS = ["Hello, World 42!", "ПРИВЕТ мир_1", "   ab\tc", "!!!", "é"]


def test_each_number_by_hand() -> None:
    found = of_texts(TEXTS, np.array([5, 4, 0, 3, 1]))
    for row, (text, tokens) in enumerate(zip(TEXTS, [5, 4, 0, 3, 1])):
        visible = [c for c in text if not c.isspace()]
        letters = [c for c in visible if c.isalpha()]
        capitals = [c for c in letters if c.isupper()]
        wanted = [
            tokens,
            len(text),
            len(text) / max(tokens, 1),
            1 - len(letters) / len(visible),
            len(capitals) / max(1, len(letters)),
        ]
        np.testing.assert_allclose(found[row], wanted, err_msg=text)
    assert found.shape == (5, len(NAMES))
