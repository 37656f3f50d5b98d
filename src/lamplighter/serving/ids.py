"""Prediction ids."""

from __future__ import annotations

import os

_BYTES = 16
_BLOCK = 256


class Ids:
    """Ids of 128 random bits each, so that nobody can guess another client's id and label its prediction.

    The system is asked for many at once: one call for each request costs more than all else about them. Not for use
    by several threads.

    >>> first, second = Ids().take(2)
    >>> len(first), first != second
    (32, True)
    """

    def __init__(self) -> None:
        self._stock: list[str] = []

    def take(self, count: int) -> list[str]:
        """New ids."""
        if len(self._stock) < count:
            digits = os.urandom(_BYTES * (count + _BLOCK)).hex()
            self._stock = [digits[start : start + 2 * _BYTES] for start in range(0, len(digits), 2 * _BYTES)]
        taken = self._stock[-count:]
        del self._stock[-count:]
        return taken
