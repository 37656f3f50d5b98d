"""Hugging Face's names of a ResNet's tensors, translated into torchvision's, which are ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lamplighter.models.weights.layouts import Layout


def from_huggingface(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of transformers' ``ResNetForImageClassification`` or ``ResNetModel`` under torchvision's names.

    ========================================================  =============================
    Hugging Face (after ``resnet.``)                          here
    ========================================================  =============================
    ``embedder.embedder.convolution``, ``.normalization``     ``conv1``, ``bn1``
    ``encoder.stages.S.layers.L.layer.I.convolution``         ``layer{S+1}.L.conv{I+1}``
    ``encoder.stages.S.layers.L.layer.I.normalization``       ``layer{S+1}.L.bn{I+1}``
    ``encoder.stages.S.layers.L.shortcut.convolution``        ``layer{S+1}.L.downsample.0``
    ``encoder.stages.S.layers.L.shortcut.normalization``      ``layer{S+1}.L.downsample.1``
    ``classifier.1``                                          ``fc``
    ========================================================  =============================
    """
    return {_renamed(name): tensor for name, tensor in tensors.items()}


def _renamed(name: str) -> str:
    name = name.removeprefix("resnet.")
    stem = re.fullmatch(r"embedder\.embedder\.(convolution|normalization)\.(\w+)", name)
    if stem:
        return f"{'conv' if stem[1] == 'convolution' else 'bn'}1.{stem[2]}"
    layer = re.fullmatch(
        r"encoder\.stages\.(\d+)\.layers\.(\d+)\.(?:shortcut|layer\.(\d+))\.(convolution|normalization)\.(\w+)", name
    )
    if layer:
        stage, index, inner, kind, tensor = layer.groups()
        if inner is None:
            part = f"downsample.{0 if kind == 'convolution' else 1}"
        else:
            part = f"{'conv' if kind == 'convolution' else 'bn'}{int(inner) + 1}"
        return f"layer{int(stage) + 1}.{index}.{part}.{tensor}"
    return re.sub(r"^classifier\.1\.", "fc.", name)


def _unlike(config: Mapping[str, Any]) -> str | None:
    """Settings of a Hugging Face ``config.json`` under which the same tensors mean another function."""
    wanted = {"downsample_in_bottleneck": False, "downsample_in_first_stage": False, "hidden_act": "relu"}
    for key, value in wanted.items():
        if config.get("model_type") == "resnet" and config.get(key, value) != value:
            return f"its config.json says {key}: {config[key]}; this ResNet computes with {value}"
    return None


HUGGING_FACE = Layout("Hugging Face", from_huggingface, _unlike)
