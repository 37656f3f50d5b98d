"""The check at the door: what is refused, in which words, and what is not looked at."""

from __future__ import annotations

import pytest
import torch

from lamplighter.core.errors import InputError
from lamplighter.nn.tokens import check_tokens

IDS = torch.tensor([[1, 2, 3], [4, 5, 0]])
MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])


def test_a_mask_that_hides_nothing_is_none() -> None:
    assert check_tokens(IDS, None, 6, "m") is None
    assert check_tokens(IDS, torch.ones_like(IDS), 6, "m") is None
    found = check_tokens(IDS, MASK, 6, "m")
    assert found is not None and found.dtype == torch.bool and torch.equal(found, MASK.bool())


@pytest.mark.parametrize(
    ("ids", "mask", "words"),
    [
        (IDS[0], None, r"m: input_ids must be whole numbers of shape \(N, L\)"),
        (IDS.float(), None, r"whole numbers .* here torch.float32"),
        (IDS[:, :0], None, "an empty sequence"),
        (IDS, MASK[:, :2], r"attention_mask is \(2, 2\), input_ids \(2, 3\)"),
        (IDS, torch.tensor([[1, 1, 1], [0, 0, 0]]), "row 1 of attention_mask is all padding"),
        (IDS + 1, None, r"token id 6 \(row 1, position 1\) .* from 0 to 5 \(vocab_size 6\)"),
        (IDS - 1, MASK, r"token id -1 \(row 1, position 2\)"),
    ],
)
def test_what_is_wrong_is_named(ids: torch.Tensor, mask: torch.Tensor | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_tokens(ids, mask, 6, "m")


def test_values_are_not_looked_at_in_an_exported_graph() -> None:
    class Model(torch.nn.Module):
        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            found = check_tokens(ids, mask, 6, "m")
            assert found is not None
            return ids * found

    dims = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    program = torch.export.export(Model(), (IDS, MASK.bool()), dynamic_shapes=(dims, dims))
    wide = torch.full((3, 5), 99)
    assert torch.equal(program.module()(wide, torch.ones(3, 5, dtype=torch.bool)), wide)
