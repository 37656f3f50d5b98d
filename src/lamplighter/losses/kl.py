"""Kullback-Leibler divergence from a teacher's answers, for distillation."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from lamplighter.losses.criterion import Criterion, Takes, full_precision, mean_of


def kl_divergence(logits_NK: Tensor, teacher_NK: Tensor, temperature: float = 1.0) -> Tensor:
    """T^2 times the mean over rows of sum_k p_k (log p_k - log q_k); p = softmax(teacher / T), q = softmax(logits / T).

    A temperature above 1 lets the student see how the teacher ranks the wrong classes. The gradient shrinks with
    1 / T^2 for that; the factor T^2 undoes it (Hinton et al. 2015, "Distilling the Knowledge in a Neural Network").

    Args:
        logits_NK: of the student (N, K).
        teacher_NK: logits (N, K) of the teacher, or the logarithms of any probabilities. A class at -inf is one that
            cannot be and adds 0. A row that holds a NaN does not count.
        temperature: T.

    Returns:
        Scalar, averaged over rows (torch's ``batchmean``); NaN with gradient 0 when no row counts.

    >>> kl_divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.75, 0.25]]).log())
    tensor(0.1308)
    """
    return mean_of(*kl_terms(logits_NK, teacher_NK, temperature))[0]


def kl_terms(logits_NK: Tensor, teacher_NK: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """`kl_divergence` before it is summed: the loss of each row, and whether it counts."""
    teacher_NK = full_precision(teacher_NK) / temperature
    present_N = ~torch.isnan(teacher_NK).any(dim=1)
    log_p_NK = F.log_softmax(torch.where(present_N.unsqueeze(1), teacher_NK, 0), dim=1)
    log_q_NK = F.log_softmax(full_precision(logits_NK) / temperature, dim=1)
    p_NK = log_p_NK.exp()
    possible_NK = p_NK > 0
    ratio_NK = torch.where(possible_NK, log_p_NK, 0) - torch.where(possible_NK, log_q_NK, 0)
    return temperature**2 * (p_NK * ratio_NK).sum(dim=1) * present_N, present_N


class KL(Criterion):
    """Kullback-Leibler divergence between the softened answers of a teacher and of the student.

    Args:
        temperature: logits are divided by it; the loss is multiplied by its square.
    """

    takes: ClassVar[Takes] = "teacher"

    def __init__(self, temperature: Annotated[float, Field(gt=0)] = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return kl_terms(prediction, target, self.temperature)
