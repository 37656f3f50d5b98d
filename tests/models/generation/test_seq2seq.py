"""Greedy search against the argmax of whole passes; ends, padding, limits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lamplighter import models
from lamplighter.core.errors import LamplighterError
from lamplighter.models.generation.seq2seq import greedy, select

FACTS = {"vocab_size": 7, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
OPTIONS: dict[str, dict[str, Any]] = {
    "seq2seq": {"embedding_dim": 8, "hidden_size": 12},
    "transformer": {"d_model": 8, "nhead": 2, "dim_feedforward": 16},
}


def create(name: str, seed: int = 0) -> Any:
    """An untrained model with weights large enough to have opinions."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = models.create(name, **FACTS, **OPTIONS[name]).double().eval()
        for parameter in model.parameters():
            parameter.data.mul_(2.0)
    return model


def sources(rows: int = 6) -> tuple[Tensor, Tensor]:
    mask = torch.arange(5) < torch.arange(rows).remainder(5)[:, None] + 1
    return torch.randint(3, 7, (rows, 5), generator=torch.Generator().manual_seed(0)) * mask, mask


def by_whole_passes(model: Any, ids: Tensor, limit: int) -> list[int]:
    """One row: a whole pass for each token, padding and the begin token left out."""
    written = [1]
    while len(written) <= limit and written[-1] != 2:
        logits = model(ids, None, torch.tensor([written]))[0, -1]
        logits[[0, 1]] = -torch.inf
        written.append(int(logits.argmax()))
    return written[1:]


@pytest.mark.parametrize("name", ["seq2seq", "transformer"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_takes_the_most_probable_token_of_whole_passes(name: str, seed: int) -> None:
    model = create(name, seed)
    ids, mask = sources()
    written = greedy(model, ids, mask, max_new_tokens=9)
    for row in range(len(ids)):
        expected = by_whole_passes(model, ids[row : row + 1, : int(mask[row].sum())], 9)
        assert written[row].tolist() == expected + [0] * (written.shape[1] - len(expected))


def test_stops_when_all_rows_have_ended() -> None:
    model = create("seq2seq")
    with torch.no_grad():
        model.head.bias[2] = 1e3
    assert greedy(model, *sources()).tolist() == [[2]] * 6
    with torch.no_grad():
        model.head.bias[2] = -1e3
    assert greedy(model, *sources(), max_new_tokens=4).shape == (6, 4)


def test_never_writes_padding_or_a_second_beginning() -> None:
    model = create("seq2seq")
    with torch.no_grad():
        model.head.bias[[0, 1]] = 1e3
    assert not torch.isin(greedy(model, *sources(), max_new_tokens=4)[:, 0], torch.tensor([0, 1])).any()


def test_records_no_graph_and_needs_a_token() -> None:
    model = create("seq2seq")
    assert not greedy(model, *sources()).requires_grad and torch.is_grad_enabled()
    with pytest.raises(LamplighterError, match="max_new_tokens is 0"):
        greedy(model, *sources(), max_new_tokens=0)


def test_select_takes_rows_of_tensors_and_caches() -> None:
    for name in OPTIONS:
        model = create(name)
        ids, mask = sources(3)
        rows = torch.tensor([2, 0, 0])
        token = torch.tensor([3, 4, 5])
        _, carried = model.step(token, model.start(model.encode(ids, mask), mask))
        chosen, _ = model.step(torch.tensor([6, 6, 5]), select(carried, rows))
        _, carried = model.step(token[rows], model.start(model.encode(ids[rows], mask[rows]), mask[rows]))
        expected, _ = model.step(torch.tensor([6, 6, 5]), carried)
        torch.testing.assert_close(chosen, expected, rtol=1e-12, atol=1e-12)
