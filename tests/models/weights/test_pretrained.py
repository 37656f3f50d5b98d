"""Folders written by transformers become models here: same outputs, another head, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from parity import relative
from parity_transformers import BERT, GPT2, LLAMA, reference_model, tokens

from lamplighter import models
from lamplighter.core.errors import LamplighterError, WeightsError

KINDS = {
    "BertModel": ("BertConfig", BERT),
    "BertForMaskedLM": ("BertConfig", BERT),
    "BertForPreTraining": ("BertConfig", BERT),
    "BertForTokenClassification": ("BertConfig", BERT),
    "BertForSequenceClassification": ("BertConfig", BERT),
    "GPT2LMHeadModel": ("GPT2Config", {**GPT2, "layer_norm_epsilon": 1e-3}),
    "GPT2Model": ("GPT2Config", GPT2),
    "GPT2ForSequenceClassification": ("GPT2Config", GPT2),
    "LlamaForCausalLM": ("LlamaConfig", {**LLAMA, "rope_theta": 700.0, "tie_word_embeddings": True}),
    "LlamaForSequenceClassification": ("LlamaConfig", LLAMA),
    "MistralForCausalLM": ("MistralConfig", {**LLAMA, "sliding_window": 3}),
}


def _saved(class_name: str, folder: Path) -> Any:
    config, keywords = KINDS[class_name]
    torch.manual_seed(0)
    reference = reference_model(class_name, config, exact=False, **keywords).eval()
    reference.save_pretrained(folder)
    return reference


@pytest.mark.parametrize("class_name", KINDS)
def test_a_saved_model_computes_the_same(class_name: str, tmp_path: Path) -> None:
    reference = _saved(class_name, tmp_path)
    ours, report = models.load_pretrained(tmp_path)
    ids, mask = tokens()
    expected = reference(input_ids=ids, attention_mask=mask.long())[0]
    found = ours(ids, mask)
    if found.dim() == 3:
        found, expected = found[mask], expected[mask]
    assert relative(found, expected) <= 1e-5
    assert not ours.training and not report.missing


@pytest.mark.parametrize(
    ("class_name", "head"),
    [
        ("BertForMaskedLM", "classifier"),
        ("BertForPreTraining", "tagger"),
        ("BertForSequenceClassification", "none"),
        ("BertModel", "lm"),
        ("GPT2LMHeadModel", "classifier"),
        ("LlamaForSequenceClassification", "lm"),
    ],
)
def test_another_head_starts_fresh_on_the_same_body(class_name: str, head: str, tmp_path: Path) -> None:
    reference = _saved(class_name, tmp_path)
    ours, report = models.load_pretrained(tmp_path, head=head, num_classes=5)
    ids, mask = tokens()
    body = getattr(reference, reference.base_model_prefix, reference)
    expected = body(input_ids=ids, attention_mask=mask.long())[0]
    assert relative(ours.hidden(ids, mask)[mask], expected[mask]) <= 1e-5
    assert (
        ours(ids, mask).shape == {"classifier": (3, 5), "tagger": (3, 9, 5), "none": (3, 9, 24), "lm": (3, 9, 31)}[head]
    )
    fresh = class_name == "BertForMaskedLM"
    assert bool(report.missing) == fresh and all("pooler" in name for name in report.missing)


def test_another_number_of_classes_starts_a_fresh_classifier(tmp_path: Path) -> None:
    _saved("BertForSequenceClassification", tmp_path)
    ours, report = models.load_pretrained(tmp_path, num_classes=4)
    assert ours.classifier.weight.shape == (4, 24)
    assert report.new == ("classifier.weight", "classifier.bias")


def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    _saved("GPT2LMHeadModel", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for changed, words in (
        ({"model_type": "falcon"}, "model_type 'falcon'; known are bert, gpt2, llama, mistral"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ({"n_layer": 3}, "weights and config.json do not belong together"),
        ({"n_embd": 27}, "weights and config.json do not belong together|no tensor has the model's shape"),
        ({"activation_function": "swoosh"}, "activation_function"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**config, **changed}))
        with pytest.raises(LamplighterError, match=words):
            models.load_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"no config\.json beside the weights"):
        models.load_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="no such file or folder"):
        models.load_pretrained(tmp_path / "nowhere")
