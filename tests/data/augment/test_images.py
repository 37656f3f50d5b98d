"""What augments share."""

from __future__ import annotations

import pytest
import torch

from lamplighter.core.errors import DataError
from lamplighter.data.augment._images import images_of


def test_images_are_handed_over_as_they_are() -> None:
    x = torch.zeros(2, 1, 4, 4)
    assert images_of({"x": x}, "random-flip") is x


def test_the_error_says_which_augment_and_what_came() -> None:
    with pytest.raises(DataError, match=r"augment 'blur' works on images .*, but this data has no 'x'"):
        images_of({"tokens": torch.zeros(1)}, "blur")
