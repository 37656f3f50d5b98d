"""What a trained masked language model puts in hidden places of test rows, for the report and the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lamplighter.data.source import Source

if TYPE_CHECKING:
    from lamplighter.tasks.masked_lm import MaskedLM

SAMPLES, TOKENS = 3, 48
"""How many samples, and of how many tokens at most."""


@torch.no_grad()
def fillings(task: MaskedLM, source: Source) -> list[dict[str, str]]:
    """``given`` with hidden tokens, ``written``: the model's likeliest tokens there, and the ``true`` ones.

    Args:
        task: trained; its mode is restored.
        source: the data.
    """
    rows = source.split("test")
    device = task.special_V.device
    name = task.tokenizer.tokenizer.id_to_token(task.mask_token_id)
    was_training = task.training
    task.eval()
    found = []
    for row in np.linspace(0, len(rows) - 1, min(SAMPLES, len(rows))).astype(np.int64):
        batch = rows.fetch(np.array([row]))
        ids = batch["input_ids"][:, :TOKENS].to(device)
        mask = batch["attention_mask"][:, :TOKENS].to(device)
        shown, wanted = task.hide(ids, mask)
        if wanted.any():
            best = task.model(shown, mask)[wanted].argmax(dim=1)
            decode, hidden = task.tokenizer.tokenizer.decode, shown[0][mask[0]].tolist()
            text = decode([id_ for id_ in hidden if id_ == task.mask_token_id or not task.special_V[id_]], False)
            found.append(
                {
                    "given": text.replace(name, f" {name} ").replace("  ", " "),
                    "written": " · ".join(decode([id_]).strip() for id_ in best.tolist()),
                    "true": " · ".join(decode([id_]).strip() for id_ in ids[wanted].tolist()),
                }
            )
    task.train(was_training)
    return found
