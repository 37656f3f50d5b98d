"""BLEU: how many word sequences of a translation also stand in the reference (Papineni et al. 2002).

Words are what white space divides; punctuation that shall count as words must stand alone. With p_n the share of the
n-grams of all translations that stand in their reference (each at most as often as there), n = 1 to 4, c the words of
all translations and r those of all references:

    BLEU = min(1, exp(1 - r / c)) * exp(mean_n ln p_n)

between 0 and 1; the tool sacrebleu shows it times 100 and equals it with ``tokenize="none", smooth_method="none"``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

ORDER = 4
"""n-grams of up to so many words."""


def counts(translation: str, reference: str) -> list[int]:
    """What BLEU adds up over all texts: matches of n = 1 to 4, n-grams of n = 1 to 4, words, words of the reference.

    >>> counts("the cat sat on the mat", "the cat is on the mat")
    [5, 3, 1, 0, 6, 5, 4, 3, 6, 6]
    """
    words, wanted = translation.split(), reference.split()
    matches, grams = [], []
    for n in range(1, ORDER + 1):
        own, there = _grams(words, n), _grams(wanted, n)
        matches.append((own & there).total())
        grams.append(own.total())
    return [*matches, *grams, len(words), len(wanted)]


def of_counts(sums: Sequence[float]) -> float:
    """BLEU of the summed `counts`; NaN without any word to be compared with.

    Without one match of each n it is 0. An n for which no translation is long enough says nothing and is left out.

    >>> round(of_counts(counts("the cat sat on the mat today", "the cat sat on the mat")), 4)
    0.8091
    """
    matches, grams = np.array(sums[:ORDER], np.float64), np.array(sums[ORDER : 2 * ORDER], np.float64)
    words, wanted = float(sums[-2]), float(sums[-1])
    if not wanted:
        return float("nan")
    if not words or not matches[grams > 0].all():
        return 0.0
    given = grams > 0
    precision = np.log(matches[given] / grams[given]).mean()
    return float(np.exp(precision + min(0.0, 1 - wanted / words)))


def influence(counts_NC: np.ndarray) -> np.ndarray:
    """(N,) numbers whose mean is BLEU and whose spread is its uncertainty, to first order: the delta method.

    BLEU depends on the sums S of the rows' counts t, and on their proportions only, so BLEU + N dBLEU/dS t has the
    mean BLEU.

    Args:
        counts_NC: `counts` of each text.
    """
    sums = counts_NC.sum(axis=0).astype(np.float64)
    value = of_counts(sums)
    if not np.isfinite(value) or value == 0:
        return np.full(len(counts_NC), value)
    slope = np.zeros(len(sums))
    orders = sums[ORDER : 2 * ORDER] > 0
    at = np.flatnonzero(orders)
    slope[at] = 1 / (orders.sum() * sums[at])
    slope[ORDER + at] = -1 / (orders.sum() * sums[ORDER + at])
    words, wanted = sums[-2], sums[-1]
    if words < wanted:
        slope[-2], slope[-1] = wanted / words**2, -1 / words
    influenced: np.ndarray = value + len(counts_NC) * value * (counts_NC @ slope)
    return influenced


def _grams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
