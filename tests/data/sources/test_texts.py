"""What the text sources share is tested with them; here: the line about texts that are cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lamplighter.core.errors import InputError
from lamplighter.data.sources._texts import about_lengths, located


def test_the_line_about_cut_texts() -> None:
    assert about_lengths(np.array([3, 9, 10]), 10) == ""
    assert about_lengths(np.array([3, 1500, 11]), 10) == (
        "2 of 3 texts have more than 10 tokens and are cut there (the longest has 1,500); data.max_length decides"
    )


def test_errors_of_preprocessing_get_their_place() -> None:
    error = located(InputError("too odd", row=2, field="text"), lambda row: f"{Path('a.csv')}:{row + 2}")
    assert str(error) == "a.csv:4: column 'text': too odd"
