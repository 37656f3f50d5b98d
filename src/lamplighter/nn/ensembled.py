"""Several networks as one: their answers combined, inside the graph that is exported.

Legend: M members, N rows, K classes or targets, F inputs of the stacker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_NO_VOTE = 1e-7  # stands for a share of 0, whose logarithm would not be finite
_NO_WEIGHT = 1e-30  # likewise for a weight of 0


class Combine(nn.Module):
    """The members' answers to one answer of the same shape: logits to logits, or numbers to numbers.

    * ``soft`` and ``weighted``: log sum_m w_m softmax(z_m / T_m), whose softmax is the weighted mean of the members'
      probabilities; of numbers sum_m w_m v_m.
    * ``hard``: log of each class's share of the votes (1e-7 instead of 0). Of equal shares the first class wins.
    * ``stacking``: a linear layer over the members' probabilities side by side (of two classes only the second's), or
      over their numbers.

    Args:
        members: M.
        width: K.
        classes: whether the answers are logits.
        method: see above.
        weights: of the members, summing to 1; None: all equal. Not used by ``stacking``.
        temperatures: T_m that each member's logits are divided by; None: all 1.

    Shapes:
        M tensors (N, K) -> (N, K)

    >>> combine = Combine(2, 2, classes=True)
    >>> combine([torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, torch.inf]]).clamp(max=99)]).softmax(1)
    tensor([[0.2500, 0.7500]])
    """

    weights: Tensor
    temperatures: Tensor

    def __init__(
        self,
        members: int,
        width: int,
        classes: bool,
        method: Literal["soft", "hard", "weighted", "stacking"] = "soft",
        weights: Sequence[float] | None = None,
        temperatures: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.method = method
        self.register_buffer("weights", torch.tensor(weights or [1 / members] * members, dtype=torch.float32))
        self.register_buffer("temperatures", torch.tensor(temperatures or [1.0] * members, dtype=torch.float32))
        self.stacker: nn.Linear | None = None
        if method == "stacking":
            self.stacker = nn.Linear(members * (1 if classes and width == 2 else width), width)

    def forward(self, answers: Sequence[Tensor]) -> Tensor:
        stacked_MNK = torch.stack(list(answers))
        if self.classes:
            stacked_MNK = stacked_MNK / self.temperatures.to(stacked_MNK.dtype).view(-1, 1, 1)
        if self.stacker is not None:
            combined: Tensor = self.stacker(torch.cat([self._feature(answer) for answer in stacked_MNK], dim=1))
            return combined
        weights_M11 = self.weights.to(stacked_MNK.dtype).view(-1, 1, 1)
        if not self.classes:
            return (weights_M11 * stacked_MNK).sum(dim=0)
        if self.method == "hard":
            votes_MNK = F.one_hot(stacked_MNK.argmax(dim=2), stacked_MNK.shape[2]).to(stacked_MNK.dtype)
            return (weights_M11 * votes_MNK).sum(dim=0).clamp(min=_NO_VOTE).log()
        log_weights_M11 = weights_M11.clamp(min=_NO_WEIGHT).log()
        return torch.logsumexp(stacked_MNK.log_softmax(dim=2) + log_weights_M11, dim=0)

    def _feature(self, answer_NK: Tensor) -> Tensor:
        if not self.classes:
            return answer_NK
        probabilities_NK = answer_NK.softmax(dim=1)
        return probabilities_NK[:, 1:] if probabilities_NK.shape[1] == 2 else probabilities_NK


class EnsembledNetwork(nn.Module):
    """What a bundle holds of an ensemble: all members' networks and their combination.

    Args:
        members: networks as `ExportedNetwork` is one: raw tensors to a tuple whose first entry is the answer and whose
            second, where there is one, the embedding.
        combine: see `Combine`.
        embeds: whether every member gives an embedding. They are joined side by side.

    Shapes:
        (N, ...) -> ((N, K), (N, D)) or ((N, K),)
    """

    def __init__(self, members: Sequence[nn.Module], combine: Combine, embeds: bool) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.combine = combine
        self.embeds = embeds

    def forward(
        self, x: Tensor, second: Tensor | None = None, third: Tensor | None = None, fourth: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        # Parameters of their own, since torch.export cannot give names to the sizes of *tensors.
        tensors = [tensor for tensor in (x, second, third, fourth) if tensor is not None]
        outputs = [member(*tensors) for member in self.members]
        answer = self.combine([output[0] for output in outputs])
        return (answer, torch.cat([output[1] for output in outputs], dim=1)) if self.embeds else (answer,)
