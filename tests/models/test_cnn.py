"""CNN: its arithmetic, its sizes, and that it learns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lamplighter.models.cnn import CNN


def unit(x: Tensor, layer: nn.Module, stride: int) -> Tensor:
    """conv, normalisation with running statistics, relu, from the state dict."""
    weight, gain, bias, mean, var, _ = layer.state_dict().values()
    h = nn.functional.conv2d(x, weight, stride=stride, padding=1)
    shape = (1, -1, 1, 1)
    h = (h - mean.view(shape)) / torch.sqrt(var.view(shape) + 1e-5) * gain.view(shape) + bias.view(shape)
    return h.clamp(min=0)


def by_hand(model: CNN, x: Tensor) -> Tensor:
    h = unit(x, model.stem, 1)
    for stage in model.stages:
        h = unit(h, stage.down, 2)  # type: ignore[arg-type]
        h = h + unit(h, stage.refine, 1)  # type: ignore[arg-type]
    return h.mean((2, 3)) @ model.head.weight.T + model.head.bias


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_equals_the_layers_written_out(stages: int) -> None:
    model = CNN(2, 5, width=4, stages=stages).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.is_floating_point():
                scale = tensor[0].numel() ** -0.5 if tensor.dim() > 1 else 1.0
                tensor.copy_(scale * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype))
    x = torch.randn(3, 2, 11, 14, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(model(x), by_hand(model, x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (33, 17), (224, 224)])
def test_any_image_size_fits(size: tuple[int, int]) -> None:
    model = CNN(3, 7, width=4, stages=2).eval()
    assert model(torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)).shape == (2, 7)


def test_more_stages_than_halvings_still_work() -> None:
    assert CNN(1, 2, width=1, stages=6).eval()(torch.zeros(2, 1, 8, 8)).shape == (2, 2)


def test_width_32_has_279_thousand_parameters() -> None:
    assert sum(p.numel() for p in CNN(1, 10, width=32).parameters()) == 278_890


def test_the_memory_order_changes_nothing_but_speed() -> None:
    model = CNN(3, 4, width=8).double().eval()
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = model(x)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    after = model(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(after, before, rtol=1e-10, atol=1e-12)


def test_dropout_reaches_the_head() -> None:
    model = CNN(1, 2, width=64, dropout=0.5)
    features = model.train().forward_features(torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert 0.3 < (features == 0).float().mean() < 0.7


def test_stochastic_depth_leaves_out_the_residual_convolution_of_late_stages_more_often() -> None:
    model = CNN(1, 2, width=4, stages=2, stochastic_depth=0.5).train()
    assert [stage.skip.p for stage in model.stages] == [0.25, 0.5]  # type: ignore[union-attr]
    stage = model.stages[1]
    x = torch.rand(400, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    down, refined = stage.down.eval(), stage.refine.eval()  # type: ignore[union-attr]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        out = stage(x)
    left_out = (out == down(x)).flatten(1).all(1)
    assert 0.35 < left_out.float().mean() < 0.65
    torch.testing.assert_close(out[~left_out], (down(x) + 2 * refined(down(x)))[~left_out])
    assert torch.equal(stage.eval()(x), down(x) + refined(down(x)))


def test_drop_block_drops_squares_of_the_map_in_training_only() -> None:
    model = CNN(1, 2, width=8, stages=1, drop_block=0.2, block_size=3)
    x = torch.rand(64, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    map_ = model.stages[0](model.stem(x))
    empty = nn.functional.max_pool2d(map_.abs(), 3, stride=1) == 0
    assert 0.01 < empty.float().mean() < 0.2  # whole 3x3 squares of zeros, far more than relu makes
    assert torch.equal(model.eval()(x), model(x))


def test_init_draws_the_convolutions_anew_and_nothing_else() -> None:
    def seeded(**params: str) -> CNN:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return CNN(1, 2, width=8, **params)  # type: ignore[arg-type]

    plain, other = seeded().state_dict(), seeded(init="orthogonal").state_dict()
    assert {k for k in plain if not torch.equal(plain[k], other[k])} == {k for k in plain if k.endswith("conv.weight")}


def test_learns_what_a_linear_model_cannot() -> None:
    """Whether a bright dot and its copy lie side by side or one above the other, anywhere in the image."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(256, 1, 8, 8)
    y = torch.randint(0, 2, (256,), generator=generator)
    for image, label in zip(x, y):
        row, column = torch.randint(0, 7, (2,), generator=generator).tolist()
        image[0, row, column] = 1
        image[0, row + int(label), column + 1 - int(label)] = 1
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CNN(1, 2, width=8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model(x).argmax(1) == y).float().mean() > 0.95
