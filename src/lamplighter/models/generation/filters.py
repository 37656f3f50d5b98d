"""What is done to the scores of the next token before it is chosen: penalty, temperature, top-k, top-p.

Each equals transformers' processor of that name. Scores that are taken out become -inf.
"""

from __future__ import annotations

import math

from torch import Tensor


def repetition_penalty(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Divide positive scores of tokens already there by the penalty, multiply negative ones (Keskar et al. 2019).

    Args:
        logits: scores.
        seen: bool, which tokens a row holds already.
        penalty: above 1 makes repetitions rarer.

    Shapes:
        (N, V), (N, V) -> (N, V)

    >>> import torch
    >>> repetition_penalty(torch.tensor([[2.0, -2.0, 2.0]]), torch.tensor([[True, True, False]]), 2.0)
    tensor([[ 1., -4.,  2.]])
    """
    return logits.where(~seen, logits.where(logits < 0, logits / penalty).where(logits >= 0, logits * penalty))


def temperature(logits: Tensor, value: float) -> Tensor:
    """logits / T: below 1 the likeliest tokens gain, above 1 the others.

    Shapes:
        (N, V) -> (N, V)
    """
    return logits / value


def top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k highest scores, and those equal to the last of them (Fan et al. 2018).

    Shapes:
        (N, V) -> (N, V)

    >>> import torch
    >>> top_k(torch.tensor([[1.0, 3.0, 2.0]]), 2)
    tensor([[-inf, 3., 2.]])
    """
    least = logits.topk(min(k, logits.shape[-1]), -1).values[:, -1:]
    return logits.masked_fill(logits < least, -math.inf)


def top_p(logits: Tensor, p: float) -> Tensor:
    """Nucleus sampling (Holtzman et al. 2020): keep the likeliest tokens that together first reach probability p.

    A token stays while those before it have less than p together, so the first one always does.

    Shapes:
        (N, V) -> (N, V)

    >>> import torch
    >>> top_p(torch.tensor([[0.5, 0.3, 0.2]]).log(), 0.6).exp()
    tensor([[0.5000, 0.3000, 0.0000]])
    """
    ordered, order = logits.sort(-1, descending=True)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    dropped = before >= p
    return logits.masked_fill(dropped.scatter(1, order, dropped), -math.inf)
