"""Global generators: seeded, saved, restored, left alone."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lamplighter.train import checkpoint, rng


def draw() -> tuple[float, float, float, float]:
    return torch.rand(()).item(), float(np.random.rand()), float(np.random.standard_normal()), random.random()


def test_one_seed_gives_one_sequence_and_purposes_differ() -> None:
    with rng.untouched():
        rng.seed_all(0, "train")
        first = draw()
        rng.seed_all(0, "train")
        assert draw() == first
        rng.seed_all(0, "init")
        assert all(a != b for a, b in zip(draw(), first))


def test_a_state_survives_a_checkpoint(tmp_path: Path) -> None:
    with rng.untouched():
        draw()
        checkpoint.save(tmp_path / "last", nn.Identity(), {"rng": rng.get_state()})
        expected = [draw() for _ in range(3)]
        rng.seed_all(5, "elsewhere")
        rng.set_state(checkpoint.load_state(tmp_path / "last")["rng"])
        assert [draw() for _ in range(3)] == expected


def test_untouched_gives_back_the_generators() -> None:
    with rng.untouched():
        rng.seed_all(1, "x")
        expected = draw()
        rng.seed_all(1, "x")
        with rng.untouched():
            rng.seed_all(2, "y")
            draw()
        assert draw() == expected
