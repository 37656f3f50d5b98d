"""One seed, one independent stream for each purpose.

A stream depends on the seed, the purpose's name and any counters, never on what was drawn before: shuffling epoch 3
gives the same order whether the run started there or was resumed there.
"""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """A numpy generator of its own for one purpose.

    Args:
        seed: the recipe's seed, at least 0.
        purpose: for instance ``"shuffle"`` or ``"split"``.
        *counters: epoch, batch, ... each at least 0.

    >>> int(generator(0, "shuffle", 3).integers(1000)) == int(generator(0, "shuffle", 3).integers(1000))
    True
    >>> int(generator(0, "shuffle").integers(10**9)) == int(generator(0, "augment").integers(10**9))
    False
    """
    return np.random.Generator(np.random.PCG64(_sequence(seed, purpose, counters)))


def derive(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed for libraries that take an integer (``torch.Generator.manual_seed``).

    >>> derive(0, "augment", 1, 2) == derive(0, "augment", 1, 2)
    True
    """
    return int(_sequence(seed, purpose, counters).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _sequence(seed: int, purpose: str, counters: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *counters])
