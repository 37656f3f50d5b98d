"""The attention seq2seq: steps against the whole, masks, alignment, export, and that it learns to reverse."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from parity import relative
from torch import Tensor, nn

from lamplighter import models
from lamplighter.core.errors import InputError, LamplighterError
from lamplighter.models.generation.seq2seq import greedy

FACTS = {"vocab_size": 17, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SMALL: dict[str, dict[str, Any]] = {
    "seq2seq": {"embedding_dim": 8, "hidden_size": 12, "num_layers": 2},
    "transformer": {"d_model": 8, "nhead": 2, "dim_feedforward": 16},
}
VARIANTS = [
    *(("seq2seq", {"attention": attention}) for attention in ("additive", "dot", "general", "none")),
    ("seq2seq", {"cell": "gru"}),
    ("seq2seq", {"cell": "rnn", "bidirectional": False}),
    ("transformer", {}),
    ("transformer", {"norm_first": True, "positions": "learned"}),
    ("transformer", {"positions": "alibi"}),
]
EVERY_VARIANT = pytest.mark.parametrize(
    ("name", "options"), VARIANTS, ids=["-".join([n, *map(str, o.values())]) for n, o in VARIANTS]
)


def create(name: str, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return models.create(name, **(FACTS | SMALL[name] | options)).eval()


def batch(length: int = 9, written: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(length) < torch.tensor([length, 3, 1])[:, None]
    target = torch.randint(3, 17, (3, written), generator=generator)
    target[:, 0] = 1
    return torch.randint(3, 17, (3, length), generator=generator) * mask, mask, target


@EVERY_VARIANT
def test_token_by_token_gives_what_the_whole_gives(name: str, options: dict[str, Any]) -> None:
    model = create(name, **options).double()
    ids, mask, target = batch()
    for given in (mask, None):
        carried = model.start(model.encode(ids, given), given)
        steps = []
        for token in target.unbind(1):
            logits, carried = model.step(token, carried)
            steps.append(logits)
        assert relative(torch.stack(steps, 1), model(ids, given, target)) <= 1e-12


@EVERY_VARIANT
def test_padding_of_the_source_changes_nothing(name: str, options: dict[str, Any]) -> None:
    model = create(name, **options).double()
    ids, mask, target = batch()
    expected = model(ids, mask, target)
    longer = torch.cat([ids.where(mask, 5), torch.full((3, 4), 7)], 1)
    found = model(longer, torch.cat([mask, torch.zeros(3, 4, dtype=torch.bool)], 1), target)
    assert relative(found, expected) <= 1e-12
    for row, length in enumerate((9, 3, 1)):
        alone = model(ids[row : row + 1, :length], None, target[row : row + 1])
        assert relative(alone, expected[row : row + 1]) <= 1e-12


@EVERY_VARIANT
def test_what_is_written_does_not_see_what_comes_later(name: str, options: dict[str, Any]) -> None:
    """Padding behind the target is such a thing, so it needs no mask."""
    model = create(name, **options)
    ids, mask, target = batch()
    changed = target.clone()
    changed[:, 4:] = 0
    before, after = model(ids, mask, target), model(ids, mask, changed)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.equal(before[:, 4:], after[:, 4:])


@EVERY_VARIANT
def test_every_token_of_the_source_counts(name: str, options: dict[str, Any]) -> None:
    model = create(name, **options).double()
    ids, mask, target = batch()
    for position in range(9):
        changed = ids.clone()
        changed[0, position] = (changed[0, position] - 2) % 14 + 3
        assert relative(model(changed, mask, target)[0], model(ids, mask, target)[0]) > 1e-6


def test_bad_input_is_refused_by_name() -> None:
    for name in ("seq2seq", "transformer"):
        model = create(name)
        ids, mask, target = batch()
        blank = mask.clone()
        blank[1] = False
        for inputs, complaint in (
            ((ids, blank, target), f"{name}: row 1 of attention_mask is all padding"),
            ((ids[:, :0], None, target), f"{name}: input_ids is .* empty sequence"),
            ((ids, mask, target[:, :0]), f"{name} decoder: .* empty sequence"),
            ((ids, mask, target + 20), f"{name} decoder: token id .* outside of the vocabulary"),
            ((ids + 20, mask, target), f"{name}: token id .* outside of the vocabulary"),
        ):
            with pytest.raises(InputError, match=complaint):
                model(*inputs)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(LamplighterError, match="hidden_size is 7; a bidirectional encoder halves it"):
        create("seq2seq", hidden_size=7)
    assert create("seq2seq", hidden_size=7, bidirectional=False)


def test_the_alignment_is_a_distribution_over_real_tokens() -> None:
    model = create("seq2seq")
    ids, mask, target = batch()
    weights = model.attention_weights(ids, mask, target)
    assert weights.shape == (3, 6, 9)
    torch.testing.assert_close(weights.sum(2), torch.ones(3, 6))
    assert (weights[~mask.unsqueeze(1).expand(-1, 6, -1)] == 0).all()
    with pytest.raises(LamplighterError, match="attention: none has no attention weights"):
        create("seq2seq", attention="none").attention_weights(ids, mask, target)


@EVERY_VARIANT
def test_trains_under_autocast(name: str, options: dict[str, Any]) -> None:
    model = create(name, **options).train()
    ids, mask, target = batch()
    with torch.autocast("cpu", torch.bfloat16):
        loss = nn.functional.cross_entropy(model(ids, mask, target).flatten(0, 1), target.flatten())
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        written = greedy(model.eval(), ids, mask, max_new_tokens=5)
    assert len(written) == 3


def export(model: nn.Module) -> Any:
    auto = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model, batch(), opset_version=20, dynamo=True, dynamic_shapes=(auto,) * 3, verbose=False
        )
        assert program is not None
        program.save(buffer)
    return onnxruntime.InferenceSession(buffer.getvalue())


EXPORTS = [
    pytest.param(1, *VARIANTS[0], id="once"),
    *(pytest.param(2, n, o, id="-".join([n, *map(str, o.values())]), marks=pytest.mark.slow) for n, o in VARIANTS),
]


@pytest.mark.parametrize(("times", "name", "options"), EXPORTS)
def test_exports_with_every_number_of_rows_and_lengths(times: int, name: str, options: dict[str, Any]) -> None:
    """Several times in one process; source and target vary by themselves."""
    model = create(name, **options)
    for session in [export(model) for _ in range(times)]:
        names = [value.name for value in session.get_inputs()]
        for length, written in ((9, 6), (4, 12), (20, 1)):
            inputs = batch(length, written)
            found = session.run(None, {key: part.numpy() for key, part in zip(names, inputs)})[0]
            np.testing.assert_allclose(found, model(*inputs).detach().numpy(), rtol=1e-4, atol=1e-5)


def reversals(rows: int, lengths: tuple[int, int], symbols: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Sequences, which of their tokens are real, what the decoder is given, and what it is to write."""
    low, high = lengths
    length = torch.randint(low, high + 1, (rows, 1), generator=generator)
    position = torch.arange(high).expand(rows, -1)
    mask = position < length
    ids = torch.randint(3, 3 + symbols, (rows, high), generator=generator) * mask
    turned = ids.gather(1, torch.where(mask, length - 1 - position, position))
    begin, blank = torch.ones(rows, 1, dtype=torch.int64), torch.zeros(rows, 1, dtype=torch.int64)
    return ids, mask, torch.cat([begin, turned], 1), torch.cat([turned, blank], 1).scatter(1, length, 2)


def trained(
    name: str, lengths: tuple[int, int], symbols: int, steps: int, rate: float, seed: int, **options: Any
) -> Any:
    """The model after some steps on fresh sequences, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        facts = {"vocab_size": 3 + symbols, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        model = models.create(name, **facts, **options)
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            ids, mask, given, wanted = reversals(64, lengths, symbols, generator)
            logits = model(ids, mask, given)
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=0).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model.eval()


def exact(model: Any, lengths: tuple[int, int], symbols: int, rows: int = 500) -> float:
    """Share of unseen sequences that are reversed without a mistake, to the end token."""
    ids, mask, _, wanted = reversals(rows, lengths, symbols, torch.Generator().manual_seed(10**6))
    written = greedy(model, ids, mask, max_new_tokens=lengths[1] + 1)
    padded = nn.functional.pad(written, (0, wanted.shape[1] - written.shape[1]))
    return (padded == wanted).all(1).float().mean().item()


@pytest.mark.slow
@pytest.mark.timeout(1800)  # four minutes of one core that nobody else uses
def test_attention_reverses_what_a_fixed_state_forgets() -> None:
    """20 to 40 of 26 symbols, backwards, without a mistake; without attention the decoder knows one vector only."""
    found = {
        attention: exact(trained("seq2seq", (20, 40), 26, 2500, 3e-3, 1, attention=attention), (20, 40), 26)
        for attention in ("general", "none")
    }
    assert found["general"] >= 0.99, found
    assert found["general"] - found["none"] >= 0.2, found
