"""Made-up inputs: every registered model can be shown without data."""

from __future__ import annotations

import pytest
import torch

from lamplighter import models
from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError
from lamplighter.models.inspecting.examples import example
from lamplighter.models.inspecting.layers import run

SMALL = {
    "bert": {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16, "num_hidden_layers": 1},
    "gpt2": {"n_embd": 16, "n_head": 2, "n_layer": 1},
    "llama": {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16, "num_hidden_layers": 1},
}
QUICK = [
    "bert",
    "cnn",
    "gpt2",
    "llama",
    "lstm",
    "mlp",
    "mobilenet_v3_small",
    "seq2seq",
    "tcn",
    "textcnn",
    "transformer",
]


def shown(name: str) -> None:
    made = example(name, SMALL.get(name), (3, 64, 64) if "in_channels" in _from_data(name) else None, batch=2)
    found = models.summary(made.model, made.input, repeats=0)
    assert found.macs > 0 and found.params == sum(p.numel() for p in made.model.parameters())
    assert len(models.structure(made.model, made.input).boxes) > 3


def _from_data(name: str) -> list[str]:
    return registry.parameters_from_data(registry.get("model", name))


@pytest.mark.parametrize("name", QUICK)
def test_small_models_are_shown(name: str) -> None:
    shown(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in models.list() if name not in {"own", *QUICK}])
def test_every_model_is_shown(name: str) -> None:
    shown(name)


def test_facts_that_are_given_are_not_made_up() -> None:
    made = example("cnn", {"num_classes": 7, "width": 4}, (1, 9, 11))
    assert made.facts == {"in_channels": 1} and made.input.shape == (1, 1, 9, 11)
    assert run(made.model.eval(), made.input).shape == (1, 7)
    assert example("resnet18").facts == {"in_channels": 3, "num_classes": 1000}
    assert example("unet", {"width": 4}, (3, 16, 16)).facts["num_classes"] == 21
    assert example("mlp", None, (1, 4, 4)).facts == {"in_features": 16, "num_classes": 2}
    text = example("lstm", {"vocab_size": 4}, (9,), batch=3)
    assert text.input["input_ids"].shape == (3, 9) and int(text.input["input_ids"].max()) < 4


def test_a_model_of_many_gigabytes_is_not_made() -> None:
    made = example("llama")
    assert made.large and made.input["input_ids"].is_meta
    found = models.summary(made.model, made.input, repeats=0)
    assert found.params == 6_738_415_616 and found.activation_bytes > 1e8
    layer = 16 * (4 * 4096**2 + 3 * 4096 * 11008) + 2 * 16 * 16 * 4096
    assert found.macs == 32 * layer + 16 * 4096 * 32000
    assert not example("cnn").large


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(LamplighterError, match="takes images: --input CHANNELSxHEIGHTxWIDTH, not 16"):
        example("cnn", None, (16,))
    with pytest.raises(LamplighterError, match="takes texts: --input TOKENS, not 3x4x4"):
        example("lstm", None, (3, 4, 4))
    with pytest.raises(LamplighterError, match="'own': no input can be made up"):
        example("own")
    assert torch.is_grad_enabled()
