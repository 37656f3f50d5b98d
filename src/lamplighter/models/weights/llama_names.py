"""Hugging Face's names of Llama's tensors where they differ from ours, which are those of its models with a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lamplighter.models.weights.layouts import Layout


def from_huggingface(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of ``LlamaModel``, or of an old checkpoint, under our names.

    ======================================================  ==============================
    Hugging Face                                            here
    ======================================================  ==============================
    ``embed_tokens.*``, ``layers.*``, ``norm.*``            ``model.*`` in front
    ``layers.N.self_attn.rotary_emb.inv_freq``              left out: made of rope_theta
    ======================================================  ==============================
    """
    return {_renamed(name): tensor for name, tensor in tensors.items() if not name.endswith("rotary_emb.inv_freq")}


def _renamed(name: str) -> str:
    return f"model.{name}" if name.startswith(("embed_tokens.", "layers.", "norm.")) else name


def _unlike(config: Mapping[str, Any]) -> str | None:
    """Settings of a ``config.json`` under which the same tensors mean another function."""
    if config.get("model_type") not in ("llama", "mistral"):
        return None
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind != "default":
        return f"its config.json scales rotary positions ({kind}); this Llama has them as they are"
    return None


HUGGING_FACE = Layout("Hugging Face", from_huggingface, _unlike)
