"""Starting values of weights: schemes by name, and a policy that says which kind of layer gets which."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

HiddenInit = Literal[
    "kaiming-normal", "kaiming-uniform", "xavier-normal", "xavier-uniform", "orthogonal", "truncated-normal"
]
"""Schemes a hidden layer can learn from."""

InitName = Literal[
    "kaiming-normal", "kaiming-uniform", "xavier-normal", "xavier-uniform", "orthogonal", "truncated-normal", "zeros"
]
"""All schemes. With zeros all units of a hidden layer stay alike, so it suits only last layers and gates."""

_CUT = 2.0  # truncated normal: in standard deviations
_SHRINK = 0.87962566103423978  # standard deviation of a standard normal that is cut off at +-2


@torch.no_grad()
def draw(
    weight: Tensor,
    name: InitName,
    *,
    transposed: bool = False,
    std: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill a weight with random numbers, in place. All schemes have mean 0; what differs is the standard deviation.

    With n_in and n_out the numbers that one output is made of, and that one input goes into:

    * ``kaiming-normal``, ``kaiming-uniform``: sqrt(2 / n_in), keeps the variance of the signal through ReLUs (He et al.
      2015).
    * ``xavier-normal``, ``xavier-uniform``: sqrt(2 / (n_in + n_out)), for tanh and sigmoid (Glorot and Bengio 2010).
    * ``truncated-normal``: 1 / sqrt(n_in), or ``std`` where given (0.02 in BERT and ViT); normal, drawn again beyond
      two standard deviations. The spread is that of what comes out, after the cut. (With ``nn.init.trunc_normal_`` and
      its defaults std = 0.02 is cut at 2, 100 deviations away: not at all.)
    * ``orthogonal``: rows (or columns, if those are fewer) of length 1 at right angles (Saxe et al. 2014).
    * ``zeros``.

    Args:
        weight: (out, in, ...) as ``Linear`` and ``Conv`` have it.
        name: the scheme.
        transposed: the first two dimensions are (in, out), as in a transposed convolution.
        std: for ``truncated-normal`` only.
        generator: source of randomness.

    Raises:
        ValueError: the weight has fewer than two dimensions.

    >>> W = draw(torch.empty(300, 400), "xavier-uniform", generator=torch.Generator().manual_seed(0))
    >>> round(float(W.std()), 3), round((2 / 700) ** 0.5, 3)
    (0.053, 0.053)
    """
    if weight.dim() < 2:
        raise ValueError(f"scheme '{name}' needs a weight (out, in, ...), not shape {tuple(weight.shape)}")
    positions = math.prod(weight.shape[2:])
    first, second = weight.shape[0] * positions, weight.shape[1] * positions
    n_in, n_out = (first, second) if transposed else (second, first)
    if name == "zeros":
        return weight.zero_()
    if name == "orthogonal":
        return _orthogonal(weight, generator)
    if name == "truncated-normal":
        sigma = (n_in**-0.5 if std is None else std) / _SHRINK
        return nn.init.trunc_normal_(weight, 0.0, sigma, -_CUT * sigma, _CUT * sigma, generator=generator)
    sigma = math.sqrt(2 / n_in if name.startswith("kaiming") else 2 / (n_in + n_out))
    if name.endswith("normal"):
        return weight.normal_(0.0, sigma, generator=generator)
    bound = math.sqrt(3) * sigma
    return weight.uniform_(-bound, bound, generator=generator)


def _orthogonal(weight: Tensor, generator: torch.Generator | None) -> Tensor:
    """The Q of a random normal matrix, its signs made those of R's diagonal, so that no direction is preferred."""
    rows = weight.shape[0]
    matrix = torch.randn(rows, weight.numel() // rows, dtype=torch.float64, generator=generator)
    wide = matrix.shape[0] < matrix.shape[1]
    q, r = torch.linalg.qr(matrix.T if wide else matrix)
    q = q * r.diagonal().sign()
    return weight.copy_((q.T if wide else q).reshape(weight.shape))


@dataclass(frozen=True)
class InitPolicy:
    """Which scheme each kind of layer gets; None leaves it as it is.

    Attributes:
        linear: of ``Linear``.
        conv: of convolutions, transposed ones included.
        embedding: of ``Embedding``; the padding row stays 0.
        recurrent: of the hidden-to-hidden matrices of RNN, GRU and LSTM, each gate by itself.
        std: of ``truncated-normal``; None takes 1 / sqrt(n_in).
        bias: whether biases of the touched layers become 0.

    >>> model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> InitPolicy(linear="orthogonal").apply(model)
    ['0', '2']
    """

    linear: InitName | None = None
    conv: InitName | None = None
    embedding: InitName | None = None
    recurrent: InitName | None = None
    std: float | None = None
    bias: bool = True

    def apply(self, model: nn.Module, generator: torch.Generator | None = None) -> list[str]:
        """Draw anew the weights of every layer of a model that the policy names.

        Returns:
            Names of the layers that were drawn.
        """
        drawn = []
        for name, module in model.named_modules():
            scheme = self._scheme(module)
            if scheme is None:
                continue
            drawn.append(name)
            if isinstance(module, nn.RNNBase):
                self._recurrent(module, scheme, generator)
                continue
            transposed = isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
            weight = module.get_parameter("weight")
            draw(weight, scheme, transposed=transposed, std=self.std, generator=generator)
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                nn.init.zeros_(weight[module.padding_idx])
            elif self.bias and getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.get_parameter("bias"))
        return drawn

    def _scheme(self, module: nn.Module) -> InitName | None:
        if isinstance(module, nn.Linear):
            return self.linear
        if isinstance(module, nn.modules.conv._ConvNd):
            return self.conv
        if isinstance(module, nn.Embedding):
            return self.embedding
        return self.recurrent if isinstance(module, nn.RNNBase) else None

    def _recurrent(self, module: nn.RNNBase, scheme: InitName, generator: torch.Generator | None) -> None:
        for name, parameter in module.named_parameters():
            if name.startswith("weight_hh"):
                for gate in parameter.split(module.hidden_size):
                    draw(gate, scheme, std=self.std, generator=generator)
            elif name.startswith("bias") and self.bias:
                nn.init.zeros_(parameter)
