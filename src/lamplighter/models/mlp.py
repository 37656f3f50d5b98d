"""Multi-layer perceptron."""

from __future__ import annotations

from typing import Annotated, Literal, cast, get_args

from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData
from lamplighter.nn.activation import ActivationName
from lamplighter.nn.activation import activation as make_activation
from lamplighter.nn.glu import GLU, GLUName
from lamplighter.nn.init import HiddenInit, InitPolicy
from lamplighter.nn.norm import NormName
from lamplighter.nn.norm import norm as make_norm


class MLP(nn.Module):
    """Fully connected layers: h <- act(norm(W h + b)) for each width of ``hidden``, then one linear head.

    The right first choice for tables, and for small images (which are flattened). Weights of the hidden layers are
    drawn from N(0, 2 / fan_in) (He et al. 2015) unless ``init`` says otherwise, biases start at 0.

    Args:
        in_features: numbers in one row.
        num_classes: width of the output: classes, or targets of a regression.
        hidden: width of each hidden layer; empty gives a linear model.
        activation: function after each hidden layer. A gated one (glu, swiglu, geglu, reglu) makes the layer before it
            twice as wide, for value and gate.
        norm: normalisation before the activation: none, over the batch, over the layer's units, or those units' root
            mean square alone.
        dropout: share of hidden units set to 0 in each training step.
        init: how the weights of the hidden layers start, see `lamplighter.nn.init.draw`.

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
        activation: Literal[ActivationName, GLUName] = "relu",
        norm: NormName = "none",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        init: HiddenInit = "kaiming-normal",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = in_features
        gated = activation in get_args(GLUName)
        for units in hidden:
            inner = 2 * units if gated else units
            linear = nn.Linear(width, inner)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            nn.init.zeros_(linear.bias)
            layers.append(linear)
            if norm != "none":
                layers.append(make_norm(norm, inner))
            layers.append(
                GLU(cast(GLUName, activation)) if gated else make_activation(cast(ActivationName, activation))
            )
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            width = units
        self.body = nn.Sequential(*layers)
        if init != "kaiming-normal":
            InitPolicy(linear=init).apply(self.body)
        self.head = nn.Linear(width, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Input of the head, (N, last hidden width)."""
        features: Tensor = self.body(x.flatten(1).to(self.head.weight.dtype))
        return features

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.forward_features(x))
        return logits
