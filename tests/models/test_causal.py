"""Decoders look back only: what later tokens change, where padding may stand, which token a classifier reads."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from parity import randomised, relative
from parity_transformers import GPT2, LLAMA, VOCABULARY, tokens

from lamplighter import models
from lamplighter.core.errors import InputError

NAMES = pytest.mark.parametrize("name", ["gpt2", "llama"])


def _model(name: str, head: str = "lm", **keywords: Any) -> Any:
    small = {"gpt2": GPT2, "llama": LLAMA}[name]
    model = models.create(name, vocab_size=VOCABULARY, num_classes=3, head=head, **{**small, **keywords})
    return randomised(model).eval()


@NAMES
@pytest.mark.parametrize("padded", [False, True])
def test_the_past_does_not_change_with_the_future(name: str, padded: bool) -> None:
    model = _model(name)
    ids, mask = tokens(left=True)
    other = ids.clone()
    other[:, 7:] = (ids[:, 7:] + 1) % VOCABULARY
    inputs = (mask,) if padded else ()
    before, after = model(ids, *inputs), model(other, *inputs)
    assert torch.equal(before[:, :7], after[:, :7])
    assert ((before - after)[:, 7:].abs().amax(-1) > 1e-4).all()


@NAMES
@pytest.mark.parametrize("head", ["lm", "classifier", "none"])
def test_padding_in_front_or_behind_changes_nothing(name: str, head: str) -> None:
    model = _model(name, head).double()
    ids, mask = tokens()
    for row in range(3):
        length = int(mask[row].sum())
        alone = model(ids[row : row + 1, :length])
        behind = model(ids, mask)[row : row + 1]
        shifted = torch.cat([torch.full((1, 4), 7), ids[row : row + 1, :length]], 1)
        front = model(shifted, torch.arange(4 + length)[None] >= 4)
        if head != "classifier":
            behind, front = behind[:, :length], front[:, 4:]
        assert relative(behind, alone) <= 1e-10
        assert relative(front, alone) <= 1e-10


@NAMES
def test_a_classifier_reads_the_last_real_token(name: str) -> None:
    model = _model(name, "classifier")
    for left in (False, True):
        ids, mask = tokens(left)
        states = model.hidden(ids, mask)
        last = [8, 8, 8] if left else [8, 4, 1]
        assert torch.equal(model.forward_features(ids, mask), states[torch.arange(3), torch.tensor(last)])
    assert torch.equal(model.forward_features(ids), model.hidden(ids)[:, -1])


@NAMES
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_padding_stays_finite_in_half_precision(name: str, dtype: torch.dtype) -> None:
    model = _model(name).to(dtype)
    output = model(*tokens(left=True))
    assert output.dtype == dtype and torch.isfinite(output).all()
    output.float().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.parametrize("name", ["gpt2", pytest.param("llama", marks=pytest.mark.slow)])
def test_an_exported_graph_takes_padding_in_front(name: str, tmp_path: Path) -> None:
    """Queries at padding in front may look at nothing: a graph without care for them gives NaN everywhere."""
    model = _model(name)
    dims = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, tokens(left=True), tmp_path / "m.onnx", opset_version=20, dynamo=True, external_data=False,
            dynamic_shapes=(dims, dims), verbose=False,
        )  # fmt: skip
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    names = [value.name for value in session.get_inputs()]
    ids, mask = tokens(left=True, length=13)
    for rows, length in ((3, 13), (1, 6), (2, 3)):
        inputs = ids[:rows, 13 - length :], mask[:rows, 13 - length :]
        found = session.run(None, {key: value.numpy() for key, value in zip(names, inputs)})[0]
        assert relative(torch.from_numpy(found), model(*inputs)) <= 1e-5


@NAMES
def test_tied_embeddings_are_one_tensor(name: str) -> None:
    for tied in (True, False):
        model = _model(name, tie_word_embeddings=tied)
        table = model.transformer.wte if name == "gpt2" else model.model.embed_tokens
        assert (model.lm_head.weight is table.weight) == tied


@NAMES
def test_what_does_not_fit_is_named(name: str) -> None:
    argument = {"gpt2": "n_positions", "llama": "max_position_embeddings"}[name]
    with pytest.raises(InputError, match=rf"{name}: a sequence of 17 tokens .* 16 positions .*{argument}"):
        _model(name)(torch.ones(1, 17, dtype=torch.int64))
    wrong: dict[str, Any] = {"n_head": 5} if name == "gpt2" else {"num_attention_heads": 5, "num_key_value_heads": 5}
    with pytest.raises(ValueError, match=f"{name}: width 24 is not divisible by 5 heads"):
        _model(name, **wrong)
    if name == "llama":
        with pytest.raises(ValueError, match="6 heads are not divisible by 4 heads for keys"):
            _model(name, num_key_value_heads=4)
