"""The served networks against formulas written out, and against padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.nn.language import HiddenToken, NextToken, NextWritten, shows_states

FACTS = {"vocab_size": 11, "pad_token_id": 0, "num_classes": 1, "head": "lm", "bos_token_id": 1, "eos_token_id": 2}


def _rows() -> tuple[Tensor, Tensor]:
    ids = torch.tensor([[4, 5, 6, 3, 7], [8, 9, 0, 0, 0]])
    return ids, ids > 0


@pytest.fixture
def gpt2() -> Any:
    torch.manual_seed(0)
    model = registry.build("model", "gpt2", {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 9}, FACTS)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.double().eval()


def test_tokens_have_the_probability_that_those_before_them_give(gpt2: Any) -> None:
    ids, mask = _rows()
    following, log_p, states = NextToken(gpt2)(ids, mask)
    logits = gpt2(ids, mask)
    for row, length in enumerate((5, 2)):
        torch.testing.assert_close(following[row], logits[row, length - 1])
        for place in range(1, length):
            wanted = logits[row, place - 1].log_softmax(0)[ids[row, place]]
            torch.testing.assert_close(log_p[row, place], wanted)
        torch.testing.assert_close(states[row], gpt2.hidden(ids, mask)[row, :length].mean(0))
    assert (log_p[:, 0] == 0).all() and (log_p[1, 2:] == 0).all()


def test_padding_changes_nothing(gpt2: Any) -> None:
    ids, mask = _rows()
    together, alone = NextToken(gpt2)(ids, mask), NextToken(gpt2)(ids[1:, :2], mask[1:, :2])
    torch.testing.assert_close(together[0][1:], alone[0])
    torch.testing.assert_close(together[1][1:, :2], alone[1])


def test_the_first_hidden_token_is_asked_for_else_the_last_one(gpt2: Any) -> None:
    ids, mask = _rows()
    logits = gpt2(ids, mask)
    asked, log_p, _ = HiddenToken(gpt2, mask_token_id=3)(ids, mask)
    torch.testing.assert_close(asked[0], logits[0, 3])
    torch.testing.assert_close(asked[1], logits[1, 1])
    torch.testing.assert_close(log_p[1, 0], logits[1, 0].log_softmax(0)[8])
    assert (log_p[1, 2:] == 0).all()


def test_a_decoder_is_asked_for_what_follows_the_last_token() -> None:
    torch.manual_seed(0)
    model: Any = registry.build("model", "seq2seq", {"embedding_dim": 8, "hidden_size": 8}, FACTS).eval()
    ids, mask = _rows()
    begun = torch.tensor([[1, 5], [1, 6]])
    logits, memory = NextWritten(model)(ids, mask, begun)
    torch.testing.assert_close(logits, model(ids, mask, begun)[:, -1])
    torch.testing.assert_close(memory[1], model.encode(ids, mask)[1, :2].mean(0))


def test_a_model_without_states_has_no_embedding() -> None:
    class Plain(nn.Module):
        def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
            return torch.zeros(*ids.shape, 11)

    assert not shows_states(Plain()) and len(NextToken(Plain())(*_rows())) == 2
