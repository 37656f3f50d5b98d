"""The global random generators: seeded for a run, part of its checkpoints, and given back as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from lamplighter.core.seeding import derive


def seed_all(seed: int, purpose: str) -> None:
    """Seed torch's, numpy's and Python's global generators, which dropout and other people's code draw from."""
    torch.manual_seed(derive(seed, purpose))
    np.random.seed(derive(seed, purpose, 1) % 2**32)
    random.seed(derive(seed, purpose, 2))


def get_state() -> dict[str, Any]:
    """State of all global generators, as tensors, numbers and lists."""
    version, words, gauss = random.getstate()
    numpy: Any = np.random.get_state(legacy=False)
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": {
            **numpy,
            "state": {**numpy["state"], "key": torch.from_numpy(numpy["state"]["key"].astype(np.int64))},
        },
        "python": {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss},
    }
    if torch.cuda.is_initialized():
        state["cuda"] = list(torch.cuda.get_rng_state_all())
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_state(state: dict[str, Any]) -> None:
    """Put back what `get_state` gave."""
    torch.set_rng_state(state["torch"])
    numpy, python = state["numpy"], state["python"]
    key = numpy["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": key}})
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])


@contextmanager
def untouched() -> Iterator[None]:
    """Whatever is drawn inside, the global generators are afterwards as they were before."""
    state = get_state()
    try:
        yield
    finally:
        set_state(state)
