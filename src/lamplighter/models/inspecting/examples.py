"""A registered model with made-up facts of the data, and an input that fits it: for looking at it without data."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lamplighter import models
from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError

_IMAGE, _TOKENS, _NUMBERS = (3, 224, 224), (16,), (16,)
_LARGE = 2 * 1024**3  # bytes of parameters, beyond which nothing is computed
_VOCABULARY = {"bert": 30_522, "gpt2": 50_257, "llama": 32_000}  # of the published checkpoints


@dataclass(frozen=True)
class Example:
    """What `example` returns.

    Attributes:
        model: the network; on torch's "meta" device, without numbers, when it is too large to be made for a look.
        input: as `lamplighter.models.inspecting.layers.run` takes it, on the model's device.
        facts: what was made up, for people to see.
    """

    model: nn.Module
    input: Any
    facts: dict[str, Any]

    @property
    def large(self) -> bool:
        """Whether the network is on the "meta" device."""
        return any(parameter.is_meta for parameter in self.model.parameters())


def example(
    name: str, params: Mapping[str, Any] | None = None, size: tuple[int, ...] | None = None, batch: int = 1
) -> Example:
    """Build a registered model for a look.

    Args:
        name: as `lamplighter.models.list` has it.
        params: constructor parameters, of the data or of the recipe; what the data would say and is not given is made
            up: 3 colours and 224 pixels, 16 tokens, 16 columns; 1,000 classes of images, 21 for maps, 2 of texts.
        size: of one row: (channels, height, width), (tokens,) or (columns,).
        batch: rows.

    Raises:
        LamplighterError: unknown name or parameter, or facts that cannot be made up.
    """
    component = registry.get("model", name)
    given = dict(params or {})
    wanted = registry.parameters_from_data(component)
    row, facts = _facts(name, component, wanted, given, size)
    with torch.device("meta"):
        model: nn.Module = models.create(name, **given, **facts)
    if sum(parameter.nbytes for parameter in model.parameters()) <= _LARGE:
        model = models.create(name, **given, **facts)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    words = given.get("vocab_size", facts.get("vocab_size", 0))
    made = _tokens(model, row, batch, words) if words else torch.zeros(batch, *row)
    moved = {key: t.to(device) for key, t in made.items()} if isinstance(made, dict) else made.to(device)
    return Example(model, moved, facts)


def _facts(
    name: str, component: Any, wanted: list[str], given: dict[str, Any], size: tuple[int, ...] | None
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The size of a row, and the facts that nobody gave."""
    known: dict[str, Any]
    if "vocab_size" in wanted:
        row = size or _TOKENS
        known = {"vocab_size": _VOCABULARY.get(name, 10_000), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        known |= {"num_classes": 2, "head": "lm" if hasattr(component, "next_logits") else "classifier"}
    elif "in_channels" in wanted:
        row = size or (int(given.get("in_channels", _IMAGE[0])), *_IMAGE[1:])
        if len(row) != 3:
            raise LamplighterError(f"model '{name}' takes images: --input CHANNELSxHEIGHTxWIDTH, not {_joined(row)}")
        known = {"in_channels": row[0], "image_size": row[1:], "num_classes": 21 if _segments(component) else 1000}
    elif "in_features" in wanted:
        row = size or (int(given.get("in_features", _NUMBERS[0])),)
        known = {"in_features": int(torch.Size(row).numel()), "num_classes": 2}
    else:
        raise LamplighterError(f"model '{name}': no input can be made up for it ({', '.join(wanted) or 'no facts'})")
    return row, {key: value for key, value in known.items() if key in wanted and key not in given}


def _tokens(model: nn.Module, row: tuple[int, ...], batch: int, words: int) -> dict[str, Tensor]:
    """Ids of every token in turn, under each name that the model's forward has."""
    if len(row) != 1:
        raise LamplighterError(f"{type(model).__name__} takes texts: --input TOKENS, not {_joined(row)}")
    ids = (torch.arange(batch * row[0]) % max(1, words - 5) + min(5, words - 1)).view(
        batch, row[0]
    )  # after the specials
    made = {"input_ids": ids, "attention_mask": torch.ones_like(ids, dtype=torch.bool), "decoder_input_ids": ids}
    names = inspect.signature(model.forward).parameters
    return {key: tensor for key, tensor in made.items() if key in names}


def _segments(component: Any) -> bool:
    """Whether the network answers with maps, for which it has ``decode``."""
    made = component if inspect.isclass(component) else typing.get_type_hints(component).get("return")
    return hasattr(made, "decode")


def _joined(row: tuple[int, ...]) -> str:
    return "x".join(map(str, row))
