"""Which tokens a masked language model must find, and what it sees in their place (Devlin et al. 2019, section 3.1).

Legend: N rows, L tokens of a row, V tokens of the vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

_STEP = -7046029254386353131  # 2^64 / golden ratio as a signed number: what splitmix64 (Steele et al. 2014) adds
_FIRST, _SECOND = -4658895280553007687, -7723592293110705685  # what it multiplies with


def chosen(number_NL: Tensor, may_NL: Tensor, share: float, begins_NL: Tensor | None = None) -> Tensor:
    """Where tokens are to be found: each with probability ``share``, and at least one in each row that has any.

    Args:
        number_NL: one number from [0, 1) for each position.
        may_NL: True where a token may be chosen.
        share: of the tokens.
        begins_NL: True where a word begins; the tokens of a word are then chosen all or none. None: each by itself.

    >>> number = torch.tensor([[0.9, 0.1, 0.3, 0.8]])
    >>> chosen(number, torch.tensor([[True, True, True, False]]), 0.2)
    tensor([[False,  True, False, False]])
    >>> chosen(number, torch.ones(1, 4) > 0, 0.2, begins_NL=torch.tensor([[True, True, False, True]]))
    tensor([[False,  True,  True, False]])
    """
    if begins_NL is not None:  # every token has the number of the first one of its word
        places = torch.arange(number_NL.shape[1], device=number_NL.device).expand_as(number_NL)
        first = torch.where(begins_NL | ~may_NL, places, 0).cummax(dim=1).values
        number_NL = number_NL.gather(1, first)
    number_NL = number_NL.masked_fill(~may_NL, 2.0)
    least = number_NL.amin(dim=1, keepdim=True)
    return (number_NL < share) | ((number_NL == least) & may_NL)


def hidden(
    input_ids: Tensor, chosen_NL: Tensor, mask_token_id: int, ordinary: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """What training shows in the chosen places: mostly the mask token, in 10% some other token, in 10% the true one.

    With the mask token alone, a model would learn nothing about tokens it can see, which is all that it meets later.

    Args:
        input_ids: (N, L).
        chosen_NL: from `chosen`.
        mask_token_id: the mask token.
        ordinary: ids that a random token is drawn from.
        generator: None draws from torch's own, as dropout does.
    """
    draw = torch.rand(input_ids.shape, device=input_ids.device, generator=generator)
    index = torch.randint(len(ordinary), input_ids.shape, device=input_ids.device, generator=generator)
    shown = torch.where(chosen_NL & (draw < 0.8), mask_token_id, input_ids)
    return torch.where(chosen_NL & (draw >= 0.9), ordinary[index], shown)


def fixed_numbers(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """One number from [0, 1) for each position, a function of the row's text alone: (N, L) float32.

    An evaluation that hides by them hides the same tokens in every epoch, whatever batch a row comes in.
    """
    place = torch.arange(input_ids.shape[1], device=input_ids.device)
    mixed = _mix(_mix(input_ids * _STEP + place) * attention_mask)
    row_N1 = (mixed * attention_mask).sum(dim=1, keepdim=True)  # wraps around, which is meant
    return _shift(_mix(row_N1 + place * _STEP), 40).float() * 2.0**-24


def _mix(x: Tensor) -> Tensor:
    """splitmix64's finaliser: one bit changed in, about half of the bits changed out."""
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    return x ^ _shift(x, 31)


def _shift(x: Tensor, by: int) -> Tensor:
    """Bits moved to the right, zeros moved in."""
    return (x >> by) & ((1 << (64 - by)) - 1)
