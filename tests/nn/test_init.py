"""Starting values: their spread against theory, shapes of every kind of layer, and what a policy touches."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lamplighter.nn.init import InitName, InitPolicy, draw

SPREADS: dict[InitName, float] = {
    "kaiming-normal": (2 / 400) ** 0.5,
    "kaiming-uniform": (2 / 400) ** 0.5,
    "xavier-normal": (2 / 700) ** 0.5,
    "xavier-uniform": (2 / 700) ** 0.5,
    "truncated-normal": (1 / 400) ** 0.5,
}


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@pytest.mark.parametrize("name", SPREADS)
@pytest.mark.parametrize("shape", [(300, 400), (12, 16, 5, 5)])
def test_spread_is_that_of_the_theory_within_two_percent(name: InitName, shape: tuple[int, ...]) -> None:
    """With 1.2e5 numbers the standard error of a deviation is 0.2%. Of (12, 16, 5, 5) fan in and out are the same."""
    weight = torch.cat([draw(torch.empty(shape), name, generator=seed(i)).flatten() for i in range(25)])
    assert weight.numel() >= 1e5
    assert abs(float(weight.std()) / SPREADS[name] - 1) < 0.02
    assert abs(float(weight.mean())) < 6 * SPREADS[name] / weight.numel() ** 0.5


def test_truncated_is_cut_at_two_deviations_and_has_the_spread_asked_for() -> None:
    weight = draw(torch.empty(400, 400), "truncated-normal", std=0.02, generator=seed())
    assert abs(float(weight.std()) / 0.02 - 1) < 0.02
    assert 1.95 < float(weight.abs().max()) / (0.02 / 0.8796) <= 2.0001


@pytest.mark.parametrize("shape", [(100, 100), (64, 300), (300, 64), (32, 16, 3, 3)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    W = draw(torch.empty(shape), "orthogonal", generator=seed()).flatten(1)
    product = W @ W.T if W.shape[0] <= W.shape[1] else W.T @ W
    assert (product - torch.eye(len(product))).abs().max() <= 2e-6
    other = draw(torch.empty(shape), "orthogonal", generator=seed(1)).flatten(1)
    assert (W - other).abs().max() > 0.01


def test_signals_keep_their_variance_through_twenty_layers() -> None:
    """What the schemes are for: kaiming with ReLU, and truncated normal without a function, against torch's default."""
    x = torch.randn(1000, 200, generator=seed())
    pairs: list[tuple[InitName, nn.Module]] = [("kaiming-normal", nn.ReLU()), ("truncated-normal", nn.Identity())]
    for name, act in pairs:
        signal = x
        for i in range(20):
            signal = act(signal @ draw(torch.empty(200, 200), name, generator=seed(i)).T)
        assert 0.2 < float(signal.square().mean()) < 5, name
    with torch.random.fork_rng():
        torch.manual_seed(0)
        default = nn.Sequential(*(layer for _ in range(20) for layer in (nn.Linear(200, 200), nn.ReLU())))
    assert float(default(x).detach().square().mean()) < 0.05


def test_a_transposed_convolution_counts_the_other_way_round() -> None:
    weight = draw(torch.empty(400, 300, 1, 1), "kaiming-normal", transposed=True, generator=seed())
    assert abs(float(weight.std()) / (2 / 400) ** 0.5 - 1) < 0.02
    model = nn.ConvTranspose2d(100, 4, 4, stride=4)
    InitPolicy(conv="truncated-normal").apply(model, seed())
    assert abs(float(model.weight.detach().std()) / (100 * 16) ** -0.5 - 1) < 0.05


def test_a_policy_touches_what_it_names() -> None:
    model = nn.ModuleDict(
        {
            "linear": nn.Linear(8, 8),
            "conv": nn.Conv1d(3, 4, 3),
            "embed": nn.Embedding(10, 6, padding_idx=2),
            "rnn": nn.LSTM(5, 6, num_layers=2, bidirectional=True),
            "norm": nn.BatchNorm1d(4),
        }
    )
    before = {key: value.clone() for key, value in model.state_dict().items()}
    policy = InitPolicy(linear="zeros", embedding="xavier-uniform", recurrent="orthogonal")
    assert policy.apply(model, seed()) == ["linear", "embed", "rnn"]
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert {key.split(".")[0] for key in changed} == {"linear", "embed", "rnn"}
    assert "rnn.weight_ih_l0" not in changed and "rnn.weight_hh_l1_reverse" in changed
    assert not model["linear"].weight.any() and not model["linear"].bias.any()  # type: ignore[union-attr,operator]
    assert not model["embed"].weight[2].any() and model["embed"].weight[1].any()  # type: ignore[index,union-attr,operator]
    for gate in model["rnn"].weight_hh_l0.split(6):  # type: ignore[union-attr,operator]
        torch.testing.assert_close(gate @ gate.T, torch.eye(6), rtol=0, atol=2e-6)
    assert not model["rnn"].bias_hh_l0.any()  # type: ignore[union-attr,operator]
    kept = InitPolicy(linear="orthogonal", bias=False)
    model["linear"].bias.data.fill_(3)  # type: ignore[union-attr]
    kept.apply(model)
    assert (model["linear"].bias == 3).all()


def test_one_seed_one_start_and_vectors_are_refused() -> None:
    assert torch.equal(
        draw(torch.empty(9, 9), "xavier-normal", generator=seed(5)),
        draw(torch.empty(9, 9), "xavier-normal", generator=seed(5)),
    )
    with pytest.raises(ValueError, match=r"needs a weight \(out, in, ...\), not shape \(4,\)"):
        draw(torch.empty(4), "orthogonal")
