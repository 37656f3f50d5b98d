"""What every optimizer function needs: types of its parameters, ``lr: auto`` refused, the fused kernel chosen."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from lamplighter.core.errors import TrainingError
from lamplighter.core.registry import FromData


def _one_message(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """One sentence instead of one for each member of the union."""
    try:
        return check(value)
    except ValidationError:
        raise ValueError("must be a number above 0, or 'auto' to let the learning-rate finder choose") from None


Groups = Annotated[list[dict[str, Any]], FromData]
"""Parameter groups, see `lamplighter.optim.groups`; filled in by the run."""

Lr = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["auto"],
    WrapValidator(_one_message),
]
"""A learning rate, or ``"auto"``: found by the trainer before the optimizer is built."""

Decay = Annotated[float, Field(ge=0)]
"""Strength of weight decay."""

Beta = Annotated[float, Field(ge=0, lt=1)]
"""Share of an exponential mean that is kept in a step."""

Positive = Annotated[float, Field(gt=0)]

_FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")


def number(lr: float | Literal["auto"]) -> float:
    """The learning rate as a number.

    Raises:
        TrainingError: it still is ``"auto"``.

    >>> number(0.1)
    0.1
    """
    if isinstance(lr, str):
        raise TrainingError(
            "optimizer.lr is 'auto': the learning-rate finder has to choose a number before the optimizer is built; "
            "train through a recipe, or give lr=0.001"
        )
    return lr


def fused(params: list[dict[str, Any]], shards: bool = False, devices: tuple[str, ...] = _FUSED_DEVICES) -> bool:
    """Whether torch can update all parameters in one kernel.

    On a CPU that takes 0.35 to 0.5 of the time of the loop over parameters (SGD, Adam, AdamW, Adagrad; a small MLP and
    a CNN, one thread).

    Args:
        params: parameter groups.
        shards: whether the kernel takes parameters that are sharded over processes (torch 2.14: Adam and AdamW).
        devices: where torch has the kernel.
    """
    if sharded(params) and not shards:
        return False
    return all(p.device.type in devices and p.is_floating_point() for group in params for p in group["params"])


def sharded(params: list[dict[str, Any]]) -> bool:
    """Whether some parameters are spread over processes (FSDP2)."""
    return any(hasattr(p, "full_tensor") for group in params for p in group["params"])
