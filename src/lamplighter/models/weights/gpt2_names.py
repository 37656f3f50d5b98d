"""Hugging Face's names of GPT-2's tensors where they differ from ours, which are those of its models with a head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lamplighter.models.weights.layouts import Layout

_BUFFER = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)$")


def from_huggingface(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of ``GPT2Model``, or of an old checkpoint, under our names.

    ======================================================  ==============================
    Hugging Face                                            here
    ======================================================  ==============================
    ``wte.*``, ``wpe.*``, ``h.*``, ``ln_f.*``               ``transformer.*`` in front
    ``h.N.attn.bias``, ``h.N.attn.masked_bias``             left out: the causal mask
    ======================================================  ==============================
    """
    return {_renamed(name): tensor for name, tensor in tensors.items() if not _BUFFER.search(name)}


def _renamed(name: str) -> str:
    return f"transformer.{name}" if name.startswith(("wte.", "wpe.", "h.", "ln_f.")) else name


def _unlike(config: Mapping[str, Any]) -> str | None:
    """Settings of a ``config.json`` under which the same tensors mean another function."""
    wanted = {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False}
    for key, value in wanted.items():
        if config.get("model_type") == "gpt2" and config.get(key, value) != value:
            return f"its config.json says {key}: {config[key]}; this GPT-2 computes with {value}"
    return None


HUGGING_FACE = Layout("Hugging Face", from_huggingface, _unlike)
