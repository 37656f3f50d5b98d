"""TextCNN: a filter finds its expression wherever it stands; refusals."""

from __future__ import annotations

import pytest
import torch

from lamplighter import models
from lamplighter.core.errors import LamplighterError


def test_a_filter_finds_its_expression_wherever_it_stands() -> None:
    """The same three words at different places, among words that mean nothing, give the same features."""
    model = models.create("textcnn", vocab_size=20, pad_token_id=0, num_classes=2, kernel_sizes=(3,)).eval()
    with torch.no_grad():
        model.embedding.weight[1].zero_()
    early, late = torch.ones(1, 15, dtype=torch.int64), torch.ones(1, 15, dtype=torch.int64)
    early[0, 3:6] = late[0, 8:11] = torch.tensor([7, 8, 9])
    torch.testing.assert_close(model.forward_features(early), model.forward_features(late), rtol=0, atol=0)
    other = early.clone()
    other[0, 3:6] = torch.tensor([9, 8, 7])
    assert not torch.allclose(model.forward_features(early), model.forward_features(other))


def test_texts_shorter_than_a_filter_fit() -> None:
    model = models.create("textcnn", vocab_size=20, pad_token_id=0, num_classes=2).eval()
    assert model(torch.tensor([[4]])).shape == (1, 2)


def test_it_is_no_language_model() -> None:
    with pytest.raises(LamplighterError, match="no head 'lm': its filters see"):
        models.create("textcnn", vocab_size=20, pad_token_id=0, num_classes=2, head="lm")
