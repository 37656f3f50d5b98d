"""Hugging Face's names of BERT's tensors where they differ from ours, which are those of its models with a head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lamplighter.models.weights.layouts import Layout


def from_huggingface(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of ``BertModel``, or of an old checkpoint, under our names.

    ======================================================  ===============================
    Hugging Face                                            here
    ======================================================  ===============================
    ``embeddings.*``, ``encoder.*``, ``pooler.*``           ``bert.*`` in front
    ``LayerNorm.gamma``, ``LayerNorm.beta``                 ``LayerNorm.weight``, ``.bias``
    ``embeddings.position_ids``                             left out: 0, 1, 2, ...
    ======================================================  ===============================
    """
    return {_renamed(name): t for name, t in tensors.items() if not name.endswith("embeddings.position_ids")}


def _renamed(name: str) -> str:
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name))
    return f"bert.{name}" if name.startswith(("embeddings.", "encoder.", "pooler.")) else name


def _unlike(config: Mapping[str, Any]) -> str | None:
    """Settings of a ``config.json`` under which the same tensors mean another function."""
    wanted = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False}
    for key, value in wanted.items():
        if config.get("model_type") == "bert" and config.get(key, value) != value:
            return f"its config.json says {key}: {config[key]}; this BERT computes with {value}"
    return None


HUGGING_FACE = Layout("Hugging Face", from_huggingface, _unlike)
