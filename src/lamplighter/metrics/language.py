"""How well a language model foretells texts: perplexity, bits per byte and accuracy, from sums of each row.

A row is a stretch of text. All that is kept of it are sums, so that a split of any size fits into memory:

* ``nll`` (N,): -log of the probability the model gave to each true token, summed over the row's tokens
* ``tokens`` (N,): how many of them there are
* ``hits`` (N,): of how many the model's most probable token was the true one; may be missing
* ``bytes`` (N,): how many bytes of text, in UTF-8, these tokens stand for; may be missing
* ``pseudo_nll``, ``pseudo_tokens`` (N,): sums as the first two, where every token was hidden by itself; may be missing
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics import intervals
from lamplighter.metrics.score import Score

Sums = Mapping[str, np.ndarray]


def metrics(sums: Sums) -> dict[str, float]:
    """All numbers that the sums define.

    Args:
        sums: see the module.

    Returns:
        ``loss``, the mean -log probability of a token in nats; ``perplexity`` = exp(loss), among how many equally
        probable tokens the model might as well have chosen; and, where their sums are there, ``accuracy``,
        ``bits_per_byte`` = nll / ln 2 / bytes, which compares models with different tokenizers (perplexity does not:
        longer tokens are harder to foretell), and ``pseudo_perplexity`` (Salazar et al. 2020, "Masked Language Model
        Scoring").

    Raises:
        DataError: no tokens at all.

    >>> found = metrics({"nll": np.log([8.0, 2.0]), "tokens": np.array([1, 1]), "bytes": np.array([3, 1])})
    >>> {name: round(value, 4) for name, value in found.items()}
    {'loss': 1.3863, 'perplexity': 4.0, 'bits_per_byte': 1.0}
    """
    return {
        name: of(float(sums[top].sum(dtype=np.float64)) / float(sums[bottom].sum(dtype=np.float64)))
        for name, (top, bottom, of) in _defined(sums).items()
    }


def scores(sums: Sums, seed: int = 0) -> dict[str, Score]:
    """`metrics` with the number of rows and a 95% interval.

    Tokens of one row are not independent of each other, so whole rows are drawn with replacement.

    Args:
        sums: see the module.
        seed: of the intervals.

    >>> found = scores({"nll": np.log([8.0, 2.0] * 50), "tokens": np.ones(100)})
    >>> print(found["perplexity"])
    4.0000 (95% interval 3.5308 to 4.5948, n = 100)
    """
    values, defined = metrics(sums), _defined(sums)
    columns = list(dict.fromkeys(name for top, bottom, _ in defined.values() for name in (top, bottom)))
    rows = len(sums["tokens"])
    if not np.isfinite(sums["nll"]).all():
        return {}
    drawn = intervals.resampled_means(np.stack([sums[name] for name in columns], axis=1), seed)
    found = {}
    for name, (top, bottom, of) in defined.items():
        above, below = (drawn[:, columns.index(column)] for column in (top, bottom))
        low, high = intervals.percentile(np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0))
        found[name] = Score(value=values[name], n=rows, low=of(low), high=of(high))
    return found


def _defined(sums: Sums) -> dict[str, tuple[str, str, Callable[[float], float]]]:
    """Name -> the sums whose quotient it is, and what is made of that."""
    if not sums["tokens"].any():
        raise DataError("there is no token to foretell in these texts")
    found: dict[str, tuple[str, str, Callable[[float], float]]] = {
        "loss": ("nll", "tokens", float),
        "perplexity": ("nll", "tokens", _exp),
    }
    if "hits" in sums:
        found["accuracy"] = ("hits", "tokens", float)
    if "bytes" in sums and sums["bytes"].any():
        found["bits_per_byte"] = ("nll", "bytes", lambda nats: nats / math.log(2))
    if "pseudo_nll" in sums:
        found["pseudo_perplexity"] = ("pseudo_nll", "pseudo_tokens", _exp)
    return found


def _exp(nats: float) -> float:
    """exp, infinite where a float ends."""
    return math.exp(nats) if nats < 709 else math.inf
