"""Which layer runs, and which one an error comes from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lamplighter.models.inspecting.layers import LayerError, LayerStack, run, tensors_in


class Net(nn.Module):
    """Two inputs, one of them by name, and a shared layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        self.twin = self.body[0]
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor, offset: Tensor | None = None) -> tuple[Tensor, dict[str, list[Tensor]]]:
        h = self.body(x)
        return self.head(h if offset is None else h + offset), {"hidden": [h]}


def test_calls_come_in_order_with_their_tensors() -> None:
    model, seen = Net(), []
    stack = LayerStack(
        model,
        entered=lambda call: seen.append((">", call.path, [tuple(t.shape) for t in call.given])),
        left=lambda call, out: seen.append(("<", call.path, [tuple(t.shape) for t in out])),
    )
    with stack.following():
        run(model, {"x": torch.zeros(5, 3), "offset": torch.zeros(4)})
    assert seen == [
        (">", "", [(5, 3), (4,)]),
        (">", "body", [(5, 3)]),
        (">", "body.0", [(5, 3)]),
        ("<", "body.0", [(5, 4)]),
        (">", "body.1", [(5, 4)]),
        ("<", "body.1", [(5, 4)]),
        ("<", "body", [(5, 4)]),
        (">", "head", [(5, 4)]),
        ("<", "head", [(5, 2)]),
        ("<", "", [(5, 2), (5, 4)]),
    ]
    assert stack.calls == [] and not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("input", "words"),
    [
        (torch.zeros(2, 5), r"layer 'body\.0' \(Linear\(in_features=3.*\) got \(2, 5\): mat1 and mat2"),
        ((torch.zeros(2, 3), torch.zeros(7)), r"the network \(Net\) got \(2, 3\), \(7\): The size of tensor|\(7,\)"),
        (torch.zeros(2, 3, dtype=torch.long), r"layer 'body\.0'.*dtype"),
    ],
)
def test_an_error_names_the_layer(input: object, words: str) -> None:
    model = Net()
    with pytest.raises(LayerError, match=words), LayerStack(model).following():
        run(model, input)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_an_error_outside_the_network_is_left_alone() -> None:
    with pytest.raises(ValueError, match="mine"), LayerStack(Net()).following():
        raise ValueError("mine")


def test_tensors_of_nested_outputs() -> None:
    a, b, c = torch.zeros(1), torch.ones(1), torch.ones(2)
    assert [id(t) for t in tensors_in((a, {"x": [b, None], "y": "text"}, c))] == [id(a), id(b), id(c)]
