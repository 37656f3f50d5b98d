"""How many tokens are hidden, in which way, and that an evaluation hides the same ones whatever the batch."""

from __future__ import annotations

import torch

from lamplighter.tasks.hiding import chosen, fixed_numbers, hidden


def test_shares_are_met() -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(10, 50, (400, 64), generator=generator)
    wanted = chosen(torch.rand(ids.shape, generator=generator), torch.ones_like(ids) > 0, 0.15)
    assert abs(wanted.float().mean() - 0.15) < 0.01
    shown = hidden(ids, wanted, 3, torch.arange(10, 50), generator)
    assert torch.equal(shown[~wanted], ids[~wanted])
    at = shown[wanted]
    assert abs((at == 3).float().mean() - 0.8) < 0.02
    assert abs((at == ids[wanted]).float().mean() - 0.1) < 0.02
    others = at[(at != 3) & (at != ids[wanted])]
    assert others.min() >= 10 and len(others.unique()) == 40


def test_every_row_has_something_to_find() -> None:
    wanted = chosen(torch.full((3, 4), 0.9), torch.tensor([[True] * 4, [False, True, False, False], [False] * 4]), 0.1)
    assert wanted.any(dim=1).tolist() == [True, True, False]


def test_fixed_numbers_are_a_function_of_the_text_alone() -> None:
    ids = torch.randint(4, 2000, (500, 40), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids) > 0
    numbers = fixed_numbers(ids, mask)
    wider = torch.nn.functional.pad(ids[:7], (0, 5), value=77)
    assert torch.equal(fixed_numbers(wider, torch.arange(45) < 40 * torch.ones(7, 1))[:, :40], numbers[:7])
    assert torch.equal(fixed_numbers(ids[3:4], mask[3:4]), numbers[3:4])
    changed = ids[:1].clone()
    changed[0, 20] += 1
    assert (fixed_numbers(changed, mask[:1]) != numbers[:1]).float().mean() > 0.9
    assert abs(numbers.mean() - 0.5) < 0.01 and abs(numbers.var() - 1 / 12) < 0.003
    assert numbers.min() >= 0 and numbers.max() < 1
    assert abs(torch.corrcoef(torch.stack([numbers[:, :-1].flatten(), numbers[:, 1:].flatten()]))[0, 1]) < 0.03
