"""timm's names of a Vision Transformer's tensors, translated into torchvision's, which are ours."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from lamplighter.models.weights.layouts import Layout

_WHOLE = {
    "cls_token": "class_token",
    "reg_token": "register_tokens",
    "pos_embed": "encoder.pos_embedding",
    "patch_embed.proj.weight": "conv_proj.weight",
    "patch_embed.proj.bias": "conv_proj.bias",
    "norm.weight": "encoder.ln.weight",
    "norm.bias": "encoder.ln.bias",
    "head.weight": "heads.head.weight",
    "head.bias": "heads.head.bias",
}
_IN_BLOCK = {
    "norm1.": "ln_1.",
    "norm2.": "ln_2.",
    "attn.qkv.": "self_attention.in_proj_",
    "attn.proj.": "self_attention.out_proj.",
    "mlp.fc1.": "mlp.0.",
    "mlp.fc2.": "mlp.3.",
}


def from_timm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of timm's ``VisionTransformer`` under torchvision's names.

    ==========================================  ============================================
    timm                                        here
    ==========================================  ============================================
    ``cls_token``, ``reg_token``                ``class_token``, ``register_tokens``
    ``pos_embed``                               ``encoder.pos_embedding``
    ``patch_embed.proj``                        ``conv_proj``
    ``blocks.I.norm1``, ``.norm2``              ``encoder.layers.encoder_layer_I.ln_1``, ``.ln_2``
    ``blocks.I.attn.qkv``, ``.attn.proj``       ``... .self_attention.in_proj_``, ``.out_proj``
    ``blocks.I.mlp.fc1``, ``.fc2``              ``... .mlp.0``, ``.mlp.3``
    ``norm``, ``head``                          ``encoder.ln``, ``heads.head``
    ==========================================  ============================================

    Where timm gives registers a position, it is added to them here once; where its class token has none, it gets 0.
    """
    named = {_renamed(name): tensor for name, tensor in tensors.items()}
    positions, registers = named.get("encoder.pos_embedding"), named.get("register_tokens")
    if positions is None or "pos_embed" not in tensors:
        return named
    count, extra = positions.shape[1], 0 if registers is None else registers.shape[1]
    if registers is not None and _is_square(count - 1 - extra):
        named["register_tokens"] = registers + positions[:, 1 : 1 + extra]
        named["encoder.pos_embedding"] = torch.cat([positions[:, :1], positions[:, 1 + extra :]], dim=1)
    elif _is_square(count):
        named["encoder.pos_embedding"] = torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)
    return named


def _is_square(number: int) -> bool:
    return number > 0 and math.isqrt(number) ** 2 == number


def _renamed(name: str) -> str:
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if block is None:
        return _WHOLE.get(name, name)
    index, rest = block.groups()
    for theirs, ours in _IN_BLOCK.items():
        if rest.startswith(theirs):
            return f"encoder.layers.encoder_layer_{index}.{ours}{rest.removeprefix(theirs)}"
    return name


TIMM = Layout("timm", from_timm)
