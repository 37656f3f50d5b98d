"""Builds BERT, GPT-2 or Llama as a local checkpoint's ``config.json`` says, and loads its weights. No downloads."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import nn

from lamplighter import models
from lamplighter.core import registry, weights
from lamplighter.core.errors import WeightsError
from lamplighter.models.weights import loading
from lamplighter.models.weights.layouts import layouts_of
from lamplighter.models.weights.loading import LoadReport
from lamplighter.models.weights.reading import read

KNOWN = {"bert": "bert", "gpt2": "gpt2", "llama": "llama", "mistral": "llama"}
"""``model_type`` of configurations whose keys are our keywords -> our model."""

_HEADS = {
    "ForMaskedLM": "lm",
    "ForPreTraining": "lm",
    "LMHeadModel": "lm",
    "ForCausalLM": "lm",
    "ForSequenceClassification": "classifier",
    "ForTokenClassification": "tagger",
}

_PARTS = ("cls.seq_relationship.", "cls.predictions.", "classifier.", "score.", "lm_head.", "bert.pooler.")
"""Beginnings of names that belong to one head only."""


def load_pretrained(path: str | Path, **keywords: Any) -> tuple[nn.Module, LoadReport]:
    """The network of a folder that Hugging Face's ``save_pretrained`` wrote: sizes from ``config.json``, then weights.

    With another ``head`` or ``num_classes`` than the checkpoint's the head starts fresh, and what belonged to the old
    one is left out. A BERT classifier made from weights without a pooler starts with a fresh one; the report says so.

    Args:
        path: a folder with ``config.json`` and ``model.safetensors`` (or ``pytorch_model.bin``, or shards of either).
        **keywords: constructor parameters that shall differ.

    Returns:
        The model, in evaluation mode, and what became of every tensor.

    Raises:
        WeightsError: no configuration, an architecture or a setting that is not there here, weights that do not fit.
        LamplighterError: a keyword the model does not have.
    """
    source = weights.find(Path(path))
    config = source.config
    kind = config.get("model_type")
    if kind not in KNOWN:
        raise WeightsError(
            f"{source.shown}: its config.json says model_type {kind!r}; known are {', '.join(KNOWN)}"
            if config
            else f"{source.shown}: no config.json beside the weights; build the model with models.create and load them"
        )
    name = KNOWN[kind]
    saved = configured(name, config)
    settings = {**saved, **keywords}
    model: nn.Module = models.create(name, **settings)
    for layout in layouts_of(model):
        if (reason := layout.unlike(config)) is not None:
            raise WeightsError(f"{source.shown}: {reason}")
    fresh = any(settings.get(key) != saved.get(key) for key in ("head", "num_classes"))
    own = model.state_dict()
    ignore = [f"{part}*" for part in _PARTS if not any(key.startswith(part) for key in own)]
    head: Literal["new", "keep"] = "new" if fresh else "keep"
    report = loading.load(model, read(source), head=head, strict=False, ignore=ignore, source=source.shown)
    missing = tuple(key for key in report.missing if not (fresh and key.startswith("bert.pooler.")))
    if missing or report.mismatched or report.unexpected:
        raise WeightsError(f"{report}\n{source.shown}: weights and config.json do not belong together")
    return model.eval(), report


def configured(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor parameters of a model, read from a Hugging Face configuration.

    >>> configured("gpt2", {"n_embd": 64, "architectures": ["GPT2LMHeadModel"], "use_cache": True})
    {'n_embd': 64, 'head': 'lm'}
    """
    known = inspect.signature(registry.get("model", name)).parameters
    found = {key: value for key, value in config.items() if key in known}
    rope = config.get("rope_parameters") or {}
    if "rope_theta" in known and "rope_theta" in rope:
        found["rope_theta"] = float(rope["rope_theta"])
    architecture = (config.get("architectures") or [""])[0]
    found["head"] = next((head for ending, head in _HEADS.items() if architecture.endswith(ending)), "none")
    if found["head"] in ("classifier", "tagger"):
        found["num_classes"] = len(config["id2label"]) if "id2label" in config else config.get("num_labels", 2)
    return found
