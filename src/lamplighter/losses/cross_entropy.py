"""Cross-entropy for classification."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits_NK: Tensor, target_N: Tensor, label_smoothing: float = 0.0, ignore_index: int = -1) -> Tensor:
    """Mean of -sum_k q_k log softmax(logits)_k over the rows that have a target.

    Without smoothing q is 1 at the target; with smoothing s it is 1 - s there plus s / K everywhere (Szegedy et al.
    2016, "Rethinking the Inception Architecture"), which keeps the network from growing its logits without end.
    Computed from log-softmax, so that logits of any size give a finite loss.

    Args:
        logits_NK: unnormalised scores (N, K).
        target_N: class indices (N,), int64.
        label_smoothing: s, at least 0 and less than 1.
        ignore_index: target of rows that do not count. When no row counts the value is NaN, as torch's is, and the
            gradient 0.

    Returns:
        Scalar.

    >>> import torch
    >>> logits = torch.tensor([[2.0, 1.0, 0.1]])
    >>> cross_entropy(logits, torch.tensor([0])), cross_entropy(logits, torch.tensor([0]), label_smoothing=0.1)
    (tensor(0.4170), tensor(0.5137))
    """
    log_p_NK = F.log_softmax(logits_NK, dim=1)
    hard = F.nll_loss(log_p_NK, target_N, ignore_index=ignore_index)
    if label_smoothing == 0:
        return hard
    valid_N = target_N != ignore_index
    uniform = -(log_p_NK.mean(dim=1) * valid_N).sum() / valid_N.sum().clamp(min=1)
    return (1 - label_smoothing) * hard + label_smoothing * uniform
