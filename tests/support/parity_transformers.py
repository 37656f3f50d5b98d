"""Parity of BERT, GPT-2 and Llama with Hugging Face's, from small random configurations, with padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from parity import Case
from torch import Tensor, nn

from lamplighter import models
from lamplighter.nn.positions import RotaryPositions

VOCABULARY = 31
CLASSES = 3
BERT = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 16,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
GPT2 = {
    "n_embd": 24,
    "n_layer": 2,
    "n_head": 3,
    "n_positions": 16,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
}
LLAMA = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 16,
}


def tokens(left: bool = False, length: int = 9, vocabulary: int = VOCABULARY) -> tuple[Tensor, Tensor]:
    """Ids of three rows of 9, 5 and 2 real tokens, 0 under the padding, and the mask."""
    real = torch.arange(length) < torch.tensor([length, 5, 2])[:, None]
    real = real.flip(1) if left else real
    return torch.randint(1, vocabulary, real.shape, generator=torch.Generator().manual_seed(3)) * real, real


# What the reference gives, at real tokens only: under padding both compute what nobody reads.


def _theirs(model: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    position = {} if mask[:, 0].all() else {"position_ids": (mask.long().cumsum(1) - 1).clamp(min=0)}
    output = model(input_ids=ids, attention_mask=mask.long(), **position)[0]
    return output * mask[..., None] if output.dim() == 3 else output


def _ours(model: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    output: Tensor = model(ids, mask)
    return output * mask[..., None] if output.dim() == 3 else output


class Named(nn.Module):
    """The bare encoder under the prefix it has in the models with a head, so that gradients are compared by name."""

    def __init__(self, bert: nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        found = self.bert(input_ids=ids, attention_mask=mask.long())
        return found.last_hidden_state * mask[..., None], found.pooler_output


def _states_and_pooled(model: Any, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    return model(ids, mask) * mask[..., None], model.pooled(ids, mask)


class ExactRMSNorm(nn.Module):
    """The reference's norm in the type of its weights; its own computes in float32, whatever type the model has."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.weight, self.eps = norm.weight, norm.variance_epsilon

    def forward(self, x: Tensor) -> Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt() * self.weight


class ExactRotary(nn.Module):
    """The reference's angles in float64; its own are float32, whatever type the model has."""

    def __init__(self, width: int, theta: float) -> None:
        super().__init__()
        self.width, self.theta = width, theta

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        wavelengths = self.theta ** (torch.arange(0, self.width, 2, dtype=torch.float64) / self.width)
        angles = (position_ids[..., None] / wavelengths).repeat(1, 1, 2)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def reference_model(class_name: str, config: str, exact: bool = True, **keywords: Any) -> Any:
    """A Hugging Face model; ``exact``: with all arithmetic in the type of its weights."""
    llama = config != "BertConfig" and config != "GPT2Config"
    settings = getattr(transformers, config)(
        # Llama's eager attention has its softmax in float32.
        attn_implementation="sdpa" if llama else "eager", num_labels=CLASSES, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, **{"vocab_size": VOCABULARY, **keywords},
    )  # fmt: skip
    model = getattr(transformers, class_name)(settings)
    if llama and exact:
        model.model.rotary_emb = ExactRotary(settings.head_dim, settings.rope_parameters["rope_theta"])
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if type(child).__name__.endswith("RMSNorm"):
                    setattr(parent, name, ExactRMSNorm(child))
    return model


# Mistakes that the matrix must see.


def _every(kind: type[nn.Module], change: Callable[[Any], None]) -> Callable[[Any], None]:
    def mutate(model: nn.Module) -> None:
        for module in model.modules():
            if isinstance(module, kind):
                change(module)

    return mutate


def _named(name: str, mutate: Callable[[Any], None]) -> Callable[[Any], None]:
    mutate.__name__ = name
    return mutate


def _swap_gelu(module: Any) -> None:
    module.approximate = "none" if module.approximate == "tanh" else "tanh"


def wrong_eps(model: nn.Module) -> None:
    _every(nn.LayerNorm, lambda norm: setattr(norm, "eps", 1e-5 if norm.eps < 1e-5 else 1e-6))(model)
    _every(nn.RMSNorm, lambda norm: setattr(norm, "eps", 1e-5))(model)


def other_gelu(model: nn.Module) -> None:
    _every(nn.GELU, _swap_gelu)(model)


def ignored_mask(model: Any) -> None:
    seen = model.hidden
    model.hidden = lambda ids, mask=None, segments=None: seen(ids, None)


def swapped_keys_and_values(model: nn.Module) -> None:
    state = model.state_dict()
    for name in [name for name in state if "key." in name or "k_proj" in name]:
        other = state[name.replace("key.", "value.").replace("k_proj", "v_proj")]
        mine = state[name].clone()
        state[name].copy_(other)
        other.copy_(mine)
    for name in [name for name in state if "c_attn" in name]:
        q, k, v = state[name].clone().chunk(3, -1)
        state[name].copy_(torch.cat([q, v, k], -1))


def other_theta(model: Any) -> None:
    model.rotary = RotaryPositions(model.rotary.head_dim, 9_000.0)


def neighbouring_pairs(model: nn.Module) -> None:
    """The paper's pairs of dimensions instead of Hugging Face's halves."""
    for name, tensor in model.state_dict().items():
        if "q_proj" in name or "k_proj" in name:
            by_head = tensor.clone().unflatten(0, (-1, 2, 2))
            tensor.copy_(by_head.transpose(1, 2).flatten(0, 2))


def positions_from_the_padding(model: Any) -> None:
    decode = model.decode
    model.decode = lambda ids, where, mask, past, cache: decode(ids, None, mask, past, cache)


def first_token(model: Any) -> None:
    """The classifier reads the first token of a decoder."""
    model.forward_features = lambda ids, mask=None: model.hidden(ids, mask)[:, 0]


def unpooled(model: Any) -> None:
    model.pooled = lambda ids, mask=None, segments=None: model.hidden(ids, mask)[:, 0]


def wider_window(model: Any) -> None:
    model.window += 1


def no_window(model: Any) -> None:
    model.window = None


ENCODER = (wrong_eps, other_gelu, ignored_mask, swapped_keys_and_values)
DECODER = (wrong_eps, other_gelu, swapped_keys_and_values)
ROTARY = (wrong_eps, swapped_keys_and_values, other_theta, neighbouring_pairs)


def _case(
    model: str,
    head: str,
    class_name: str,
    keywords: dict[str, Any],
    mutations: tuple[Callable[[Any], None], ...] = (),
    variant: str = "",
    left: bool = False,
    **extra: Any,
) -> Case:
    config = {"bert": "BertConfig", "gpt2": "GPT2Config", "llama": "LlamaConfig"}[model]
    config = "MistralConfig" if class_name.startswith("Mistral") else config
    parameters = {"vocab_size": VOCABULARY, **keywords}
    return Case(
        model=model,
        reference=f"transformers.{class_name}",
        ours=lambda: models.create(model, head=head, num_classes=CLASSES, pad_token_id=0, **parameters),
        theirs=lambda: reference_model(class_name, config, **keywords),
        inputs=lambda: tokens(left),
        call_ours=_ours,
        call_theirs=_theirs,
        variant=variant or head,
        mutations=mutations,
        **extra,
    )


def _bare() -> Case:
    return Case(
        model="bert",
        reference="transformers.BertModel",
        ours=lambda: models.create("bert", vocab_size=VOCABULARY, **BERT),
        theirs=lambda: Named(reference_model("BertModel", "BertConfig", **BERT)),
        inputs=tokens,
        call_ours=_states_and_pooled,
        variant="states",
        mutations=(*ENCODER, unpooled),
    )


CASES = [
    _bare(),
    _case("bert", "lm", "BertForMaskedLM", BERT, ENCODER),
    _case("bert", "classifier", "BertForSequenceClassification", BERT, (*ENCODER, unpooled)),
    _case("bert", "tagger", "BertForTokenClassification", BERT, ENCODER),
    _case("gpt2", "lm", "GPT2LMHeadModel", GPT2, DECODER),
    _case("gpt2", "lm", "GPT2LMHeadModel", GPT2, (ignored_mask, positions_from_the_padding), "left-padded", left=True),
    _case("gpt2", "classifier", "GPT2ForSequenceClassification", GPT2, (*DECODER, first_token)),
    _case("llama", "lm", "LlamaForCausalLM", LLAMA, ROTARY),
    _case("llama", "lm", "LlamaForCausalLM", LLAMA, (ignored_mask,), "left-padded", left=True),
    _case("llama", "classifier", "LlamaForSequenceClassification", LLAMA, (*ROTARY, first_token)),
    _case(
        "llama", "lm", "LlamaForCausalLM",
        {**LLAMA, "num_key_value_heads": 6, "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True,
         "head_dim": 6},
        (), "ungrouped-tied-biased",
    ),
    _case(
        "llama", "lm", "MistralForCausalLM", {**LLAMA, "sliding_window": 3}, (wider_window, no_window), "sliding-window"
    ),
    _case("bert", "lm", "BertForMaskedLM", {**BERT,
        "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072, "max_position_embeddings": 512
    }, (), "base", slow=True),
    _case("gpt2", "lm", "GPT2LMHeadModel", {**GPT2,
        "vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024
    }, (), "small", slow=True),
]  # fmt: skip
