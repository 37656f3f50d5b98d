"""The check at a text model's door: token ids and their mask."""

from __future__ import annotations

import torch
from torch import Tensor

from lamplighter.core.errors import InputError


def check_tokens(input_ids: Tensor, attention_mask: Tensor | None, vocab_size: int, owner: str) -> Tensor | None:
    """Refuse what a text model would compute nonsense from; simplify a mask that hides nothing to None.

    What depends on values is not looked at while the model is being compiled or exported, nor on torch's "meta" device;
    there the mask stays.

    Args:
        input_ids: int64, 0 to ``vocab_size - 1``.
        attention_mask: True, or 1, at real tokens; None when all are.
        vocab_size: tokens the model knows.
        owner: the model's name, for messages.

    Shapes:
        (N, L), (N, L) -> (N, L) bool or None

    Raises:
        InputError: no positions, a mask of another shape, a row that is all padding, an id outside the vocabulary.

    >>> check_tokens(torch.tensor([[1, 2]]), torch.tensor([[1, 1]]), 3, "bert") is None
    True
    """
    if input_ids.dim() != 2 or input_ids.dtype not in (torch.int64, torch.int32):
        raise InputError(
            f"{owner}: input_ids must be whole numbers of shape (N, L), here {input_ids.dtype} of shape "
            f"{tuple(input_ids.shape)}"
        )
    if input_ids.shape[1] == 0:
        raise InputError(f"{owner}: input_ids is {tuple(input_ids.shape)}, an empty sequence: give at least one token")
    if attention_mask is not None and attention_mask.shape != input_ids.shape:
        raise InputError(
            f"{owner}: attention_mask is {tuple(attention_mask.shape)}, input_ids {tuple(input_ids.shape)}; "
            "it needs one entry for each token"
        )
    mask = None if attention_mask is None else attention_mask.bool()
    if torch.compiler.is_compiling() or input_ids.is_meta or not len(input_ids):
        return mask
    return _checked(input_ids, mask, vocab_size, owner)


def _checked(input_ids: Tensor, mask: Tensor | None, vocab_size: int, owner: str) -> Tensor | None:
    lowest, highest = (int(bound) for bound in torch.aminmax(input_ids))
    if lowest < 0 or highest >= vocab_size:
        wrong = lowest if lowest < 0 else highest
        row, position = (input_ids == wrong).nonzero()[0].tolist()
        raise InputError(
            f"{owner}: token id {wrong} (row {row}, position {position}) is outside of the vocabulary: ids go from "
            f"0 to {vocab_size - 1} (vocab_size {vocab_size}); is the tokenizer the model's own?"
        )
    if mask is None or mask.all():
        return None
    if not (some := mask.any(-1)).all():
        row = int((~some).nonzero()[0])
        raise InputError(f"{owner}: row {row} of attention_mask is all padding: leave empty sequences out of the batch")
    return mask
