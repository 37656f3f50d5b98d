"""What text models share: kinds of heads, how one is refused, Hugging Face's initial weights and activations."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from torch import nn

from lamplighter.core.errors import LamplighterError
from lamplighter.nn.activation import ActivationName

Head = Literal["none", "classifier", "tagger", "lm"]
"""What stands on the hidden states (N, L, D).

``classifier`` gives (N, num_classes), ``tagger`` (N, L, num_classes), ``lm`` (N, L, vocab_size), ``none`` the states
themselves. The data's target decides.
"""

HiddenAct = Literal["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu"]
"""Activations as Hugging Face's configurations name them: ``gelu`` is exact, ``gelu_new`` the tanh form."""

_ACTIVATIONS: dict[str, ActivationName] = {
    "gelu": "gelu",
    "gelu_new": "gelu-tanh",
    "gelu_pytorch_tanh": "gelu-tanh",
    "relu": "relu",
    "silu": "silu",
}


def activation_name(hidden_act: HiddenAct) -> ActivationName:
    """Our name of an activation.

    >>> activation_name("gelu_new")
    'gelu-tanh'
    """
    return _ACTIVATIONS[hidden_act]


def check_head(owner: str, head: str, heads: Collection[str]) -> None:
    """Refuse a head that a model does not have.

    Raises:
        LamplighterError: names the heads it has.

    >>> check_head("gpt2", "tagger", ("lm", "classifier"))
    Traceback (most recent call last):
    lamplighter.core.errors.LamplighterError: model 'gpt2' has no head 'tagger'; its heads are: lm, classifier
    """
    if head not in heads:
        raise LamplighterError(f"model '{owner}' has no head '{head}'; its heads are: {', '.join(heads)}")


def draw_normal(model: nn.Module, std: float) -> None:
    """Weights from N(0, std^2), biases 0, padding rows 0, norms as the identity: how BERT, GPT-2 and Llama start."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            nn.init.zeros_(module.weight[module.padding_idx].detach())
