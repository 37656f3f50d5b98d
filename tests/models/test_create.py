"""Models by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lamplighter import models
from lamplighter.core.errors import LamplighterError


def test_create_takes_what_the_data_would_fill_in() -> None:
    model = models.create("cnn", in_channels=3, num_classes=7, width=4)
    assert model.head.out_features == 7
    assert model.stem.conv.in_channels == 3


def test_sequences_become_tuples() -> None:
    assert models.create("mlp", in_features=2, num_classes=2, hidden=[3, 4]).head.in_features == 4


def test_every_listed_name_is_known() -> None:
    for name in models.list():
        with pytest.raises(LamplighterError, match="needs"):
            models.create(name)


def test_mistakes_are_named() -> None:
    with pytest.raises(LamplighterError, match=r"unknown model 'cnnn' \(did you mean 'cnn'\?\)"):
        models.create("cnnn")
    with pytest.raises(LamplighterError, match="width"):
        models.create("cnn", in_channels=1, num_classes=2, wdith=3)
    with pytest.raises(LamplighterError, match="width"):
        models.create("cnn", in_channels=1, num_classes=2, width=0)


def test_listing_imports_no_torch() -> None:
    code = "import sys; from lamplighter import models; models.list(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
