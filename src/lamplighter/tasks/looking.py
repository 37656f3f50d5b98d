"""Which tokens a network looks at when it answers for one: those before it, or those on both sides."""

from __future__ import annotations

import torch
from torch import nn

from lamplighter.models.inspecting.predict import predict

_LENGTH = 6


def looks_ahead(model: nn.Module, vocab_size: int) -> bool:
    """Whether an answer at one place changes with a token behind it; tried out on a few random tokens.

    Args:
        model: maps ids and mask to (N, L, anything); on any device, in any mode, which it keeps.
        vocab_size: ids are below.

    >>> from lamplighter import models
    >>> sizes = {"vocab_size": 20, "pad_token_id": 0, "num_classes": 3, "head": "tagger"}
    >>> looks_ahead(models.create("tcn", **sizes), 20), looks_ahead(models.create("tcn", causal=False, **sizes), 20)
    (False, True)
    """
    device = next(model.parameters(), torch.zeros(0)).device
    ids = torch.randint(0, vocab_size, (1, _LENGTH), generator=torch.Generator().manual_seed(0)).to(device)
    other = ids.clone()
    other[0, -1] = (ids[0, -1] + 1) % vocab_size
    mask = torch.ones_like(ids, dtype=torch.bool)
    before, after = (predict(model, tokens, mask)[0, : _LENGTH - 1] for tokens in (ids, other))
    return not torch.allclose(before, after, rtol=1e-4, atol=1e-6)
