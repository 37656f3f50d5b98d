"""What is kept of the predictions of tokens: sums of each row, never the logits of a whole split.

Legend: N rows, L tokens of a row, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lamplighter.core.errors import TrainingError
from lamplighter.losses.criterion import full_precision

_NUMBERS = 2**24  # logits in memory at a time


def row_sums(logits_NLV: Tensor, target_NL: Tensor, token_bytes_V: Tensor | None = None) -> dict[str, Tensor]:
    """Sums over the tokens of each row that have a target, see `lamplighter.metrics.language`.

    Args:
        logits_NLV: of each position.
        target_NL: the true token of each position, -1 where there is none.
        token_bytes_V: bytes of text that each token stands for; None: not known.

    Returns:
        ``nll``, ``tokens``, ``hits`` (N,) each, and ``bytes`` where they are known.

    >>> sums = row_sums(torch.zeros(1, 3, 4), torch.tensor([[0, 2, -1]]))
    >>> sums["nll"], sums["tokens"], sums["hits"]
    (tensor([2.7726], dtype=torch.float64), tensor([2]), tensor([1]))
    """
    counts_NL = target_NL >= 0
    target_NL = target_NL.clamp(min=0)
    log_p_NLV = full_precision(logits_NLV).log_softmax(dim=-1)
    nll_NL = -log_p_NLV.gather(-1, target_NL.unsqueeze(-1)).squeeze(-1)
    wide = torch.float32 if nll_NL.device.type == "mps" else torch.float64
    sums = {
        "nll": (nll_NL.to(wide) * counts_NL).sum(dim=1),
        "tokens": counts_NL.sum(dim=1),
        "hits": ((logits_NLV.argmax(dim=-1) == target_NL) & counts_NL).sum(dim=1),
    }
    if token_bytes_V is not None:
        sums["bytes"] = (token_bytes_V[target_NL] * counts_NL).sum(dim=1)
    return sums


def in_parts(rows: int, numbers_a_row: int) -> Iterator[slice]:
    """Slices of the rows of a batch, so many at a time that memory stays bounded.

    >>> list(in_parts(5, 2**23))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    size = max(1, _NUMBERS // max(1, numbers_a_row))
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def joined(rows: int, numbers_a_row: int, of: Callable[[slice], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What a function of some rows of a batch gives, for all of them."""
    parts = [of(part) for part in in_parts(rows, numbers_a_row)] or [of(slice(0))]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def check_logits(logits: Tensor, like: Tensor, vocab_size: int, task: str) -> Tensor:
    """Raises TrainingError unless logits are one row of V scores for each position of ``like``."""
    if logits.shape != (*like.shape, vocab_size):
        raise TrainingError(
            f"the model's output has shape {tuple(logits.shape)}; {task} needs {(*like.shape, vocab_size)}: a "
            "score for each token of the vocabulary at each position"
        )
    return logits
