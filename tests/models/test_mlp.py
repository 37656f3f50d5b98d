"""MLP against matrices written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError
from lamplighter.models.mlp import MLP


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """All parameters and buffers random: fan-in scaled matrices, vectors around 1, variances in [0.5, 1.5]."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.is_floating_point():
                scale = tensor.shape[1] ** -0.5 if tensor.dim() > 1 else 1.0
                tensor.copy_(scale * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype))
    return model


def by_hand(model: MLP, x: Tensor, norm: str) -> Tensor:
    """relu(norm(W h + b)), layer by layer, from the state dict."""
    tensors = list(model.state_dict().values())
    h = x.flatten(1)
    while len(tensors) > 2:
        w, b, *tensors = tensors
        h = h @ w.T + b
        if norm == "batch":
            gain, bias, mean, var, _, *tensors = tensors
            h = (h - mean) / torch.sqrt(var + 1e-5) * gain + bias
        elif norm == "layer":
            gain, bias, *tensors = tensors
            spread = h.var(1, unbiased=False, keepdim=True)
            h = (h - h.mean(1, keepdim=True)) / torch.sqrt(spread + 1e-5) * gain + bias
        h = h.clamp(min=0)
    w, b = tensors
    return h @ w.T + b


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("hidden", [(), (7,), (9, 5, 6)])
def test_equals_matrices(norm: str, hidden: tuple[int, ...]) -> None:
    model = MLP(12, 4, hidden=hidden, norm=norm).double().eval()  # type: ignore[arg-type]
    randomised(model)
    x = torch.randn(8, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model(x), by_hand(model, x, norm), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("activation", "function"), [("gelu", nn.functional.gelu), ("silu", nn.functional.silu)])
def test_activation_is_used(activation: str, function: object) -> None:
    model = MLP(3, 2, hidden=(4,), activation=activation)  # type: ignore[arg-type]
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    linear = model.body[0]
    torch.testing.assert_close(model(x), model.head(function(linear(x))))  # type: ignore[operator]


@pytest.mark.parametrize("name", ["swiglu", "reglu"])
def test_a_gated_activation_doubles_the_layer_before_it(name: str) -> None:
    model = MLP(3, 2, hidden=(4, 5), activation=name, norm="rms").double()  # type: ignore[arg-type]
    randomised(model)
    assert [m.out_features for m in model.modules() if isinstance(m, nn.Linear)] == [8, 10, 2]
    h = x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w1, b1, g1, w2, b2, g2, w3, b3 = model.state_dict().values()
    for w, b, gain in ((w1, b1, g1), (w2, b2, g2)):
        h = h @ w.T + b
        h = h / torch.sqrt(h.square().mean(1, keepdim=True) + 1e-5) * gain
        value, gate = h.chunk(2, 1)
        h = value * (gate.clamp(min=0) if name == "reglu" else gate * torch.sigmoid(gate))
    torch.testing.assert_close(model(x), h @ w3.T + b3, rtol=1e-10, atol=1e-10)


def test_the_default_start_is_what_it_always_was_and_another_is_drawn_anew() -> None:
    def seeded(**params: str) -> MLP:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return MLP(6, 2, hidden=(8,), **params)  # type: ignore[arg-type]

    with torch.random.fork_rng():
        torch.manual_seed(3)
        linear = nn.Linear(6, 8)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        head = nn.Linear(8, 2)
    assert torch.equal(seeded().body[0].weight, linear.weight) and torch.equal(seeded().head.weight, head.weight)
    other = seeded(init="orthogonal")
    torch.testing.assert_close(other.body[0].weight.T @ other.body[0].weight, torch.eye(6), rtol=0, atol=2e-6)
    assert not torch.equal(other.body[0].weight, linear.weight)


def test_images_are_flattened_and_bytes_become_numbers() -> None:
    model = MLP(2 * 3 * 4, 5)
    x = torch.randint(0, 256, (6, 2, 3, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(x), model(x.float().flatten(1)))


def test_ten_five_one_has_61_parameters_and_batch_equals_loop() -> None:
    model = MLP(10, 1, hidden=(5,))
    assert sum(p.numel() for p in model.parameters()) == 61
    x = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
    one_by_one = torch.cat([model(row[None]) for row in x])
    torch.testing.assert_close(model(x), one_by_one, rtol=0, atol=1e-5)


def test_dropout_drops_in_training_only() -> None:
    model = MLP(4, 2, hidden=(1000,), dropout=0.3)
    x = torch.ones(1, 4)
    kept = model.train().forward_features(x) != 0
    alive = model.eval().forward_features(x) != 0
    share = kept.sum().item() / alive.sum().item()
    assert 0.6 < share < 0.8
    assert torch.equal(model(x), model(x))


def test_weights_start_as_he_et_al_propose() -> None:
    layer = MLP(1000, 2, hidden=(500,)).body[0]
    assert isinstance(layer, nn.Linear)
    assert abs(layer.weight.std().item() / (2 / 1000) ** 0.5 - 1) < 0.02
    assert layer.bias.abs().max() == 0


@pytest.mark.parametrize(
    "params",
    [
        {"hidden": [0]},
        {"dropout": 1.0},
        {"activation": "tanhh"},
        {"norm": "group"},
        {"init": "zeros"},
        {"in_features": 3},
    ],
)
def test_bad_parameters_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(LamplighterError, match=next(iter(params))):
        registry.build("model", "mlp", params, {"in_features": 3, "num_classes": 2})
