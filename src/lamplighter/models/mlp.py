"""Multi-layer perceptron."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData
from lamplighter.nn.activation import ActivationName
from lamplighter.nn.activation import activation as make_activation

_NORMS: dict[str, type[nn.BatchNorm1d] | type[nn.LayerNorm]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class MLP(nn.Module):
    """Fully connected layers: h <- act(norm(W h + b)) for each width of ``hidden``, then one linear head.

    The right first choice for tables, and for small images (which are flattened). Weights of the hidden layers are
    drawn from N(0, 2 / fan_in) (He et al. 2015), biases start at 0.

    Args:
        in_features: numbers in one row.
        num_classes: width of the output: classes, or targets of a regression.
        hidden: width of each hidden layer; empty gives a linear model.
        activation: function after each hidden layer.
        norm: normalisation before the activation: none, over the batch, or over the layer's units.
        dropout: share of hidden units set to 0 in each training step.

    Shapes:
        (N, ...) with in_features numbers in each row -> (N, num_classes)

    >>> model = MLP(in_features=10, num_classes=1, hidden=(5,))
    >>> sum(p.numel() for p in model.parameters())
    61
    """

    def __init__(
        self,
        in_features: Annotated[int, FromData],
        num_classes: Annotated[int, FromData],
        hidden: tuple[Annotated[int, Field(gt=0)], ...] = (128, 64),
        activation: ActivationName = "relu",
        norm: Literal["none", "batch", "layer"] = "none",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = in_features
        for units in hidden:
            linear = nn.Linear(width, units)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            nn.init.zeros_(linear.bias)
            layers.append(linear)
            if norm != "none":
                layers.append(_NORMS[norm](units))
            layers.append(make_activation(activation))
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            width = units
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Input of the head, (N, last hidden width)."""
        features: Tensor = self.body(x.flatten(1).to(self.head.weight.dtype))
        return features

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.forward_features(x))
        return logits
