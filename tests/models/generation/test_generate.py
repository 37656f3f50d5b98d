"""Generation: the ids of transformers' generate, with and without a cache, and its ends, streams and refusals."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from parity import randomised
from parity_transformers import GPT2, LLAMA, VOCABULARY, reference_model

from lamplighter import models
from lamplighter.core.errors import InputError
from lamplighter.models.generation import GenerationSettings, generate, pad_left, stream

PROMPTS = [[5, 6, 7, 8], [3, 9], [4]]
LONG = {
    "gpt2": {**GPT2, "n_positions": 48},
    "llama": {**LLAMA, "max_position_embeddings": 48},
    "mistral": {**LLAMA, "max_position_embeddings": 48, "sliding_window": 6},
}
OURS = {"gpt2": "gpt2", "llama": "llama", "mistral": "llama"}
NAMES = pytest.mark.parametrize("name", ["gpt2", "llama", "mistral"])


@functools.cache
def _pair(name: str) -> tuple[Any, Any]:
    """Float32 models with random weights, and transformers' own arithmetic."""
    class_name = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM"}[name]
    config = {"gpt2": "GPT2Config", "llama": "LlamaConfig", "mistral": "MistralConfig"}[name]
    reference = randomised(reference_model(class_name, config, exact=False, **LONG[name])).eval()
    ours = models.create(OURS[name], vocab_size=VOCABULARY, **LONG[name]).eval()
    models.load_reference(ours, reference.state_dict())
    return ours, reference


def _theirs(name: str, ids: torch.Tensor, mask: torch.Tensor, **keywords: Any) -> torch.Tensor:
    options = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0, "max_new_tokens": 25, **keywords}
    found: torch.Tensor = _pair(name)[1].generate(ids, attention_mask=mask.long(), **options)
    return found


@NAMES
@pytest.mark.parametrize("keywords", [{}, {"eos_token_id": [9, 4, 20]}], ids=["free", "eos"])
def test_greedy_ids_are_those_of_transformers(name: str, keywords: dict[str, Any]) -> None:
    ours = _pair(name)[0]
    for prompts in (PROMPTS[:1], PROMPTS):
        ids, mask = pad_left(prompts, 0)
        expected = _theirs(name, ids, mask, **keywords)
        for cached in (True, False):
            found = ours.generate(ids, mask, max_new_tokens=25, pad_token_id=0, use_cache=cached, **keywords)
            assert torch.equal(found, expected)
    assert len(expected.unique()) > 5, "the comparison is of one repeated token"


@NAMES
def test_a_repetition_penalty_gives_the_ids_of_transformers(name: str) -> None:
    """Row by row: with padding in front transformers also counts the padding's id as said."""
    ours = _pair(name)[0]
    batch = ours.generate(*pad_left(PROMPTS, 0), max_new_tokens=25, repetition_penalty=1.4)
    for row, prompt in enumerate(PROMPTS):
        ids = torch.tensor([prompt])
        expected = _theirs(name, ids, torch.ones_like(ids), repetition_penalty=1.4)
        assert torch.equal(batch[row, 4 - len(prompt) :], expected[0])
    assert not torch.equal(batch, ours.generate(*pad_left(PROMPTS, 0), max_new_tokens=25))


@NAMES
def test_padding_in_front_does_not_change_a_row(name: str) -> None:
    ours = _pair(name)[0]
    for settings in (GenerationSettings(max_new_tokens=25), GenerationSettings(25, True, top_k=9, top_p=0.9, seed=3)):
        together = generate(ours, *pad_left(PROMPTS, 0), settings)
        alone = generate(ours, torch.tensor(PROMPTS[:1]), None, settings)
        assert torch.equal(together[:1], alone)
        if not settings.do_sample:
            for row, prompt in enumerate(PROMPTS):
                alone = generate(ours, torch.tensor([prompt]), None, settings)
                assert torch.equal(together[row, 4 - len(prompt) :], alone[0])


@NAMES
def test_logits_of_cached_steps_are_those_of_the_whole_sequence(name: str) -> None:
    from lamplighter.nn.kv_cache import KVCache

    ours = models.create(OURS[name], vocab_size=VOCABULARY, **LONG[name]).double().eval()
    randomised(ours)
    ids, mask = pad_left([[1, 2, 3, 4, 5, 6], [7, 8, 9]], 0)
    whole = ours(ids, mask)
    cache = KVCache(ours.depth)
    with torch.no_grad():
        for start, end in ((0, 3), (3, 4), (4, 6)):
            found = ours.next_logits(ids[:, start:end], mask[:, :end], cache)
            rows = mask[:, end - 1]
            assert (found - whole[:, end - 1])[rows].abs().max() < 1e-12 * whole.abs().max()


def test_sampling_is_seeded_and_its_cache_changes_nothing() -> None:
    ours = _pair("gpt2")[0]
    ids, mask = pad_left(PROMPTS, 0)
    options = {"max_new_tokens": 15, "do_sample": True, "temperature": 1.3}
    first = ours.generate(ids, mask, seed=1, **options)
    assert torch.equal(first, ours.generate(ids, mask, seed=1, use_cache=False, **options))
    assert not torch.equal(first, ours.generate(ids, mask, seed=2, **options))


def test_rows_end_at_stop_sequences_and_are_filled_up() -> None:
    ours = _pair("gpt2")[0]
    ids, mask = pad_left(PROMPTS, 0)
    free = ours.generate(ids, mask, max_new_tokens=12)[:, 4:].tolist()
    sequence = free[0][3:5]
    found = ours.generate(ids, mask, max_new_tokens=12, stop=[sequence], pad_token_id=30)[:, 4:].tolist()
    for before, after in zip(free, found):
        ends = [i for i in range(1, 12) if before[i - 1 : i + 1] == sequence]
        kept = before[: ends[0] + 1] if ends else before
        assert after == (kept + [30] * 12)[: len(after)]
    assert found[0][5:] == [30] * (len(found[0]) - 5)


def test_it_ends_when_all_rows_have() -> None:
    ours = _pair("gpt2")[0]
    ids = torch.tensor([[5, 6]])
    free = ours.generate(ids, max_new_tokens=12)[0, 2:].tolist()
    assert (
        ours.generate(ids, max_new_tokens=12, eos_token_id=free[4])[0, 2:].tolist() == free[: free.index(free[4]) + 1]
    )


def test_tokens_stream_one_by_one() -> None:
    ours = _pair("llama")[0]
    ids, mask = pad_left(PROMPTS, 0)
    ours.train()
    tokens = stream(ours, ids, mask, GenerationSettings(max_new_tokens=6))
    first = next(tokens)
    assert first.shape == (3,) and torch.is_grad_enabled()
    rest = list(tokens)
    assert len(rest) == 5 and ours.training, "the model's mode comes back"
    assert torch.equal(torch.stack([first, *rest], 1), ours.generate(ids, mask, max_new_tokens=6)[:, 4:])
    abandoned = stream(ours, ids, mask, GenerationSettings(max_new_tokens=6))
    next(abandoned)
    abandoned.close()
    assert ours.training
    ours.eval()


def test_what_cannot_be_generated_is_named() -> None:
    ours = _pair("gpt2")[0]
    classifier = models.create("gpt2", vocab_size=VOCABULARY, head="classifier", **GPT2)
    ids, mask = pad_left(PROMPTS, 0)
    for model, inputs, options, words in (
        (classifier, (ids, mask), {}, "needs the head 'lm', this model has 'classifier'"),
        (ours, (ids.flip(1), mask.flip(1)), {}, "prompt 1 ends with padding; pad prompts in front"),
        (ours, (ids, mask & False), {}, "row 0 of attention_mask is all padding"),
        (ours, (ids[:, :0],), {}, "an empty sequence"),
        (ours, (ids + VOCABULARY,), {}, "outside of the vocabulary"),
        (ours, (ids, mask), {"max_new_tokens": 45}, "4 tokens and 45 new ones are 49, the model has 48 positions"),
        (ours, (ids, mask), {"eos_token_id": 99}, "eos_token_id or stop holds 99, ids go to 30"),
        (ours, (ids, mask), {"stop": [[1, 2]]}, "say with pad_token_id"),
    ):
        with pytest.raises(InputError, match=words):
            model.generate(*inputs, **options)
