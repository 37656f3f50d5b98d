"""Divergence from a teacher against torch, and what temperature does."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.losses.cross_entropy import cross_entropy
from lamplighter.losses.kl import KL, kl_divergence


def tensors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    student = 3 * torch.randn(10, 5, dtype=torch.float64, generator=generator)
    return student.requires_grad_(), 3 * torch.randn(10, 5, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("t", [0.5, 1.0, 4.0])
def test_equals_torch_with_gradients(t: float) -> None:
    student, teacher = tensors()
    reference = nn.KLDivLoss(reduction="batchmean")
    expected = t * t * reference(F.log_softmax(student / t, 1), F.softmax(teacher / t, 1))
    actual = kl_divergence(student, teacher, t)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=0)
    (ours,), (theirs,) = torch.autograd.grad(actual, student), torch.autograd.grad(expected, student)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-18)


def test_the_gradient_is_t_times_the_difference_of_the_answers() -> None:
    student, teacher = tensors()
    (gradient,) = torch.autograd.grad(kl_divergence(student, teacher, 3.0), student)
    expected = 3.0 * ((student / 3).softmax(1) - (teacher / 3).softmax(1)) / 10
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-17)


def test_a_hot_temperature_matches_logits() -> None:
    """T to infinity: half the squared distance of the centred logits, divided by the number of classes."""
    student, teacher = tensors()
    centred = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    torch.testing.assert_close(
        kl_divergence(student, teacher, 1e4), centred.square().sum(1).mean() / 10, rtol=1e-3, atol=0
    )


def test_it_is_cross_entropy_less_the_teachers_entropy() -> None:
    student, teacher = tensors()
    p = teacher.softmax(1)
    entropy = -(p * p.log()).sum(1).mean()
    torch.testing.assert_close(kl_divergence(student, teacher), cross_entropy(student, p) - entropy, rtol=1e-12, atol=0)


def test_classes_that_cannot_be_are_no_nan() -> None:
    """Masked by -inf in both, or in the teacher alone."""
    student = torch.tensor([[1.0, 2.0, -math.inf]], requires_grad=True)
    teacher = torch.tensor([[0.5, 0.1, -math.inf]])
    value = kl_divergence(student, teacher)
    torch.testing.assert_close(value, kl_divergence(student[:, :2], teacher[:, :2]))
    (gradient,) = torch.autograd.grad(value, student)
    assert torch.isfinite(gradient).all()
    assert torch.isfinite(kl_divergence(torch.tensor([[1.0, 2.0, 3.0]]), teacher))
    assert kl_divergence(student, torch.tensor([[0.5, 0.1, 0.2]])).isinf(), (
        "the teacher sees what the student rules out"
    )


def test_rows_without_a_teacher_do_not_count() -> None:
    student, teacher = tensors()
    teacher[3, 1] = math.nan
    value, weight = KL(2.0)(student, teacher)
    kept = [i for i in range(10) if i != 3]
    torch.testing.assert_close(value, kl_divergence(student[kept], teacher[kept], 2.0))
    assert weight == 9
