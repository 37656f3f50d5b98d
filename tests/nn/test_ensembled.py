"""The combination inside the graph: equal to the numpy voting, finite where a logarithm would not be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamplighter.metrics import ensembles
from lamplighter.metrics.calibration import softmax
from lamplighter.nn.ensembled import Combine, EnsembledNetwork
from lamplighter.nn.exported import ExportedNetwork

M, N, K = 3, 40, 4


def logits(classes: int = K) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return list(3 * torch.randn(M, N, classes, generator=generator, dtype=torch.float64))


def probabilities(given: list[Tensor], temperatures: tuple[float, ...] = (1.0,) * M) -> list[np.ndarray]:
    return [softmax(z.numpy(), t) for z, t in zip(given, temperatures)]


@pytest.mark.parametrize("temperatures", [(1.0, 1.0, 1.0), (0.5, 1.0, 2.5)])
@pytest.mark.parametrize("weights", [None, [0.5, 0.375, 0.125]])
@pytest.mark.parametrize("method", ["soft", "hard"])
def test_votes_are_those_of_numpy(method: Any, weights: Any, temperatures: tuple[float, ...]) -> None:
    given = logits()
    combine = Combine(M, K, True, method, weights, temperatures).double()
    if weights is None:
        combine.weights.fill_(1 / 3)  # made in float32
    expected = ensembles.vote(probabilities(given, temperatures), method, weights)
    found = combine(given)
    assert np.array_equal(found.argmax(dim=1).numpy(), expected.labels)
    np.testing.assert_allclose(found.softmax(dim=1).numpy(), expected.probabilities, rtol=0,
                               atol=1e-12 if method == "soft" else 1e-6)  # fmt: skip


def test_certain_members_stay_finite() -> None:
    sure = [torch.tensor([[2000.0, 0.0, -2000.0]]), torch.tensor([[-2000.0, 0.0, 2000.0]])]
    found = Combine(2, 3, True)(sure)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.softmax(1), torch.tensor([[0.5, 0.0, 0.5]]))
    assert torch.isfinite(Combine(2, 3, True, "hard")(sure)).all()


def test_a_member_without_weight_changes_nothing_and_leaves_no_infinity() -> None:
    given = logits()
    combine = Combine(M, K, True, "weighted", [0.25, 0.75, 0.0]).double()
    alone = Combine(2, K, True, "weighted", [0.25, 0.75]).double()
    torch.testing.assert_close(combine(given), alone(given[:2]), rtol=0, atol=1e-12)


def test_gradients_are_those_of_the_mixture() -> None:
    given = [z.clone().requires_grad_() for z in logits()]
    Combine(M, K, True).double()(given)[:, 1].sum().backward()
    twins = [z.detach().clone().requires_grad_() for z in given]
    torch.stack([z.softmax(dim=1) for z in twins]).mean(dim=0)[:, 1].log().sum().backward()
    for ours, theirs in zip(given, twins):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-8)  # 1/3 is a float32 buffer


@pytest.mark.parametrize("classes", [2, K])
def test_stacking_is_a_linear_model_over_the_probabilities(classes: int) -> None:
    given = logits(classes)
    combine = Combine(M, classes, True, "stacking", temperatures=(1.0, 2.0, 0.5)).double()
    assert combine.stacker is not None
    features = ensembles.stack_features(probabilities(given, (1.0, 2.0, 0.5)), classes=True)
    weight, bias = combine.stacker.weight.detach().numpy(), combine.stacker.bias.detach().numpy()
    np.testing.assert_allclose(combine(given).detach().numpy(), features @ weight.T + bias, rtol=0, atol=1e-12)


def test_numbers_are_averaged_and_stacked() -> None:
    given = logits(2)
    weights = [0.5, 0.25, 0.25]
    mean = Combine(M, 2, False, "weighted", weights).double()(given)
    expected = ensembles.average([z.numpy() for z in given], weights)
    np.testing.assert_allclose(mean.numpy(), expected, rtol=0, atol=1e-12)
    stack = Combine(M, 2, False, "stacking").double()
    assert stack.stacker is not None and stack.stacker.in_features == 6  # two targets are no probabilities
    torch.testing.assert_close(stack(given), stack.stacker(torch.cat(given, dim=1)))


class Features(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(5, width), nn.Linear(width, K)

    def forward_features(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.body(x)
        return hidden

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.body(x))
        return answer


def test_the_network_computes_every_member_and_joins_the_embeddings() -> None:
    torch.manual_seed(0)
    models = [Features(3), Features(6)]
    members = [ExportedNetwork(nn.Identity(), model, nn.Identity()) for model in models]
    x = torch.randn(7, 5)
    answer, embedding = EnsembledNetwork(members, Combine(2, K, True), embeds=True)(x)
    torch.testing.assert_close(answer.exp(), (models[0](x).softmax(1) + models[1](x).softmax(1)) / 2)
    torch.testing.assert_close(embedding, torch.cat([model.forward_features(x) for model in models], dim=1))
    assert len(EnsembledNetwork(members, Combine(2, K, True), embeds=False)(x)) == 1


def test_members_may_take_several_tensors() -> None:
    class Sum(nn.Module):
        def forward(self, x: Tensor, second: Tensor) -> tuple[Tensor, ...]:
            return (x + second,)

    x = torch.randn(4, 3)
    (answer,) = EnsembledNetwork([Sum(), Sum()], Combine(2, 3, False), embeds=False)(x, 2 * x)
    torch.testing.assert_close(answer, 3 * x)
