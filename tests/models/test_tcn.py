"""The temporal convolutional network: causality bit by bit, the receptive field by gradients, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lamplighter import models
from lamplighter.core.errors import LamplighterError


def create(**options: Any) -> Any:
    facts = {"vocab_size": 20, "pad_token_id": 0, "num_classes": 3}
    return models.create("tcn", **(facts | {"embedding_dim": 8, "channels": 8} | options)).eval()


def ids(length: int = 40) -> torch.Tensor:
    return torch.randint(1, 20, (2, length), generator=torch.Generator().manual_seed(0))


def test_the_past_does_not_change_with_the_future() -> None:
    model = create(head="lm")
    changed = ids()
    changed[:, 25:] = 3
    before, after = model(ids()), model(changed)
    assert torch.equal(before[:, :25], after[:, :25])
    assert not torch.equal(before[:, 25:], after[:, 25:])
    both = create(head="tagger", causal=False)
    assert not torch.equal(both(ids())[:, :25], both(changed)[:, :25])


@pytest.mark.parametrize(("num_blocks", "kernel_size"), [(1, 2), (2, 3), (3, 2), (3, 3)])
def test_the_receptive_field_is_the_footprint_of_the_gradient(num_blocks: int, kernel_size: int) -> None:
    model = create(head="none", num_blocks=num_blocks, kernel_size=kernel_size).double()
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.1)  # no ReLU is off
    x = torch.rand(1, 80, 8, dtype=torch.float64, requires_grad=True)
    model.states(x, None)[0, -1].sum().backward()
    assert x.grad is not None
    assert int((x.grad[0].abs().sum(1) > 0).sum()) == model.receptive_field


def test_a_language_model_that_sees_the_future_is_refused() -> None:
    with pytest.raises(LamplighterError, match="no head 'lm': without causal convolutions"):
        create(head="lm", causal=False)
