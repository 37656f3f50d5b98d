"""A classifier's tensors as the encoder of a segmentation network."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lamplighter.models.weights.layouts import Layout


def encoder_alone(prefix: str) -> Layout:
    """The layout of a file that holds only the encoder, say torchvision's ``resnet18``.

    Everything behind the encoder stays as the model starts it, so such a file is loaded with ``strict: false``.

    Args:
        prefix: name of the encoder within the model.

    >>> import torch
    >>> list(encoder_alone("encoder").translate({"conv1.weight": torch.zeros(1)}))
    ['encoder.conv1.weight']
    """

    def translate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}

    return Layout("its encoder alone", translate)
