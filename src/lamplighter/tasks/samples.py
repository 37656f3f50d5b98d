"""Texts that a trained language model writes, beside what really stands there: for the report and the terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamplighter.data.source import Source
from lamplighter.models.generation.choosing import Chooser
from lamplighter.models.generation.settings import GenerationSettings

SAMPLES, PROMPT, WRITTEN = 3, 16, 48
"""How many samples, tokens of the beginning, and tokens written behind it."""
SETTINGS = {"do_sample": True, "temperature": 0.8, "top_k": 40}
"""How tokens are drawn: somewhat sharper than the model's probabilities, and none from the far tail."""


def continuations(model: nn.Module, source: Source, tokenizer: Any, seed: int) -> list[dict[str, str]]:
    """``given``, ``written`` and ``true`` texts for beginnings of some rows of the test split.

    Args:
        model: maps ids and mask to logits (N, L, V).
        source: the data.
        tokenizer: a `lamplighter.data.tokenization.encoding.Encoder`.
        seed: of what is drawn.
    """
    rows = source.split("test")
    vocabulary = source.signature.vocabulary
    assert vocabulary is not None
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    never = [id_ for id_ in (vocabulary.pad, vocabulary.bos, vocabulary.mask, vocabulary.cls) if id_ is not None]
    found = []
    for number, row in enumerate(np.linspace(0, len(rows) - 1, min(SAMPLES, len(rows))).astype(np.int64)):
        batch = rows.fetch(np.array([row]))
        ids = batch["input_ids"][0][batch["attention_mask"][0]]
        begin = min(PROMPT, len(ids) // 2)
        if begin < 1:
            continue
        settings = GenerationSettings(max_new_tokens=WRITTEN, seed=seed + number, **SETTINGS)  # type: ignore[arg-type]
        ends = vocabulary.eos
        written = write(
            model, ids[:begin].to(device), settings, [i for i in never if i != ends], ends, _longest(source)
        )
        found.append(
            {
                "given": tokenizer.decode(ids[:begin]),
                "written": tokenizer.decode(written.cpu()),
                "true": tokenizer.decode(ids[begin : begin + WRITTEN]),
            }
        )
    return found


@torch.no_grad()
def write(
    model: nn.Module, ids: Tensor, settings: GenerationSettings, never: list[int], end: int | None, longest: int | None
) -> Tensor:
    """Tokens behind a beginning, one forward pass each: works for any model, with or without a cache.

    Args:
        model: maps ids and mask to logits (N, L, V); its mode is restored.
        ids: (L,) the beginning.
        settings: how tokens are chosen.
        never: ids that are never written.
        end: id that ends the text; it is not part of what is returned.
        longest: positions of the model; of a longer text the first token and the last ones are seen.
    """
    was_training = model.training
    model.eval()
    choose = Chooser(settings, ids[None], None, 0)
    added: list[Tensor] = []
    for _ in range(settings.max_new_tokens):
        seen = torch.cat([ids, *added])
        if longest is not None and len(seen) > longest:
            seen = torch.cat([seen[:1], seen[len(seen) - longest + 1 :]])
        logits = model(seen[None], torch.ones_like(seen[None], dtype=torch.bool))[:, -1].float()
        token = choose(logits.index_fill(1, torch.tensor(never, device=ids.device, dtype=torch.int64), -torch.inf))
        if int(token) == end:
            break
        added.append(token.to(ids.dtype))
    model.train(was_training)
    return torch.cat([ids[:0], *added])


def _longest(source: Source) -> int | None:
    return source.signature.tensors[0].longest
