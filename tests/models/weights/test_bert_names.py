"""BERT's bare and old names, and configurations that mean another network."""

from __future__ import annotations

from parity import relative
from parity_transformers import BERT, VOCABULARY, reference_model, tokens

from lamplighter import models
from lamplighter.models.weights.bert_names import HUGGING_FACE


def test_bare_and_old_names_load_strictly() -> None:
    reference = reference_model("BertModel", "BertConfig", **BERT).eval()
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in reference.state_dict().items()
    }
    ids, mask = tokens()
    old["embeddings.position_ids"] = ids
    for state in (reference.state_dict(), old, {f"bert.{name}": tensor for name, tensor in old.items()}):
        ours = models.create("bert", vocab_size=VOCABULARY, **BERT).eval()
        assert len(models.load_reference(ours, state).loaded) == 39
        expected = reference(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        assert relative(ours(ids, mask)[mask], expected[mask]) <= 1e-5


def test_configurations_that_mean_another_network_are_found() -> None:
    assert HUGGING_FACE.unlike({"model_type": "bert", "position_embedding_type": "absolute"}) is None
    assert HUGGING_FACE.unlike({"model_type": "albert", "is_decoder": True}) is None
    for key, value in (("position_embedding_type", "relative_key"), ("is_decoder", True)):
        assert key in str(HUGGING_FACE.unlike({"model_type": "bert", key: value}))
