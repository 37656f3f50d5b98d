"""Precision: what is chosen, and that choosing leaves no trace."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamplighter.data.source import Batch
from lamplighter.models.cnn import CNN
from lamplighter.train import precision
from lamplighter.train.precision import Precision

CPU = torch.device("cpu")
Make = Callable[..., Any]


def images(rows: int = 8) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return {"x": torch.randn(rows, 2, 8, 8, generator=generator), "y": torch.arange(rows) % 3}


def image_task(make_task: Make) -> Any:
    return make_task((2, 8, 8), model=CNN(2, 3, width=4, dropout=0.5))


def pretend(monkeypatch: pytest.MonkeyPatch, **milliseconds: float | str) -> None:
    """Let the race have this result; keys are labels with _ for blanks."""
    labels = {key.replace("_", " ", 1): value for key, value in milliseconds.items()}
    monkeypatch.setattr(
        precision, "_race", lambda task, batch, device, candidates: {c: labels[precision.label(c)] for c in candidates}
    )


@pytest.mark.parametrize(
    ("fp32", "fp32_cl", "bf16_cl", "expected"),
    [
        (10.0, 10.0, 4.0, Precision("bf16", True)),
        (10.0, 9.5, 9.2, Precision("fp32", False)),  # nothing is 1.1 times as fast
        (10.0, 8.0, 7.6, Precision("fp32", True)),  # bf16 does not pay beside fp32 channels_last
        (10.0, 8.0, 7.0, Precision("bf16", True)),
        (10.0, 8.0, 30.0, Precision("fp32", True)),
        (10.0, 20.0, 9.0, Precision("bf16", True)),
        (10.0, 20.0, "cannot run: x", Precision("fp32", False)),
    ],
)
def test_takes_what_is_worth_it(
    fp32: float,
    fp32_cl: float,
    bf16_cl: float | str,
    expected: Precision,
    make_task: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, fp32=fp32, fp32_channels_last=fp32_cl, bf16_channels_last=bf16_cl)
    chosen, timings = precision.choose(image_task(make_task), images(), CPU)
    assert chosen == expected
    assert list(timings) == ["fp32", "fp32 channels_last", "bf16 channels_last"]


def test_the_recipes_memory_order_is_kept(make_task: Make) -> None:
    for fixed in (True, False):
        chosen, timings = precision.choose(image_task(make_task), images(), CPU, channels_last=fixed)
        assert chosen.channels_last is fixed
        assert len(timings) == 2


def test_vectors_have_no_memory_order(make_task: Make) -> None:
    batch = {"x": torch.randn(8, 6), "y": torch.arange(8) % 3}
    chosen, timings = precision.choose(make_task(), batch, CPU)
    assert list(timings) == ["fp32", "bf16"]
    assert not chosen.channels_last


def test_a_small_mlp_stays_in_fp32(make_task: Make) -> None:
    batch = {"x": torch.randn(16, 6), "y": torch.arange(16) % 3}
    assert precision.choose(make_task(), batch, CPU)[0] == Precision("fp32", False)


def test_times_are_real(make_task: Make) -> None:
    """A network that sleeps under autocast loses."""
    import time

    class Sleepy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            time.sleep(0.002 if torch.is_autocast_enabled("cpu") else 0.02)
            result: Tensor = self.layer(x)
            return result

    batch = {"x": torch.randn(8, 6), "y": torch.arange(8) % 3}
    chosen, timings = precision.choose(make_task(model=Sleepy()), batch, CPU)
    assert chosen.name == "bf16"
    assert 20 <= float(timings["fp32"]) < 200


def test_measuring_leaves_no_trace(make_task: Make) -> None:
    task, batch = image_task(make_task), images()
    before = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    strides = [parameter.stride() for parameter in task.parameters()]
    inputs = {name: tensor.clone() for name, tensor in batch.items()}
    states = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy())  # type: ignore[index,union-attr]
    task.eval()
    precision.choose(task, batch, CPU)
    assert not task.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.state_dict().items())
    assert [parameter.stride() for parameter in task.parameters()] == strides
    assert all(parameter.grad is None for parameter in task.parameters())
    assert all(torch.equal(batch[name], inputs[name]) for name in inputs)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()  # type: ignore[index]


def test_what_cannot_run_in_16_bits_stays_in_fp32(make_task: Make) -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.layer(x)
            if result.dtype != torch.float32:
                raise RuntimeError("not implemented for BFloat16")
            return result

    batch = {"x": torch.randn(8, 6), "y": torch.arange(8) % 3}
    chosen, timings = precision.choose(make_task(model=Picky()), batch, CPU)
    assert chosen.name == "fp32"
    assert timings["bf16"] == "cannot run: not implemented for BFloat16"


def test_a_network_that_cannot_run_at_all_says_why(make_task: Make) -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        precision.choose(make_task(model=nn.Linear(5, 3)), {"x": torch.randn(8, 6), "y": torch.arange(8) % 3}, CPU)


def test_fixed_precisions() -> None:
    vectors = {"x": torch.zeros(2, 3)}
    assert precision.fixed("fp32", None, images()) == Precision("fp32", False)
    assert precision.fixed("bf16", None, images()) == Precision("bf16", True)
    assert precision.fixed("bf16", None, vectors) == Precision("bf16", False)
    assert precision.fixed("bf16", False, images()) == Precision("bf16", False)
    assert precision.fixed("fp32", True, images()) == Precision("fp32", True)


def test_autocast_computes_in_the_named_format() -> None:
    layer, x = nn.Linear(3, 3), torch.ones(2, 3)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        context = Precision(name, False).autocast(CPU)  # type: ignore[arg-type]
        for _ in range(2):
            with context:
                assert layer(x).dtype == dtype


def test_only_fp16_scales() -> None:
    enabled = [Precision(n, False).scaler(CPU).is_enabled() for n in ("fp32", "bf16", "fp16")]  # type: ignore[arg-type]
    assert enabled == [False, False, True]


def test_to_layout_reorders_images_only_and_copies_nothing_twice() -> None:
    batch = images()
    once = precision.to_layout(batch, Precision("bf16", True))
    assert once["x"].is_contiguous(memory_format=torch.channels_last)
    assert once["y"] is batch["y"]
    assert precision.to_layout(once, Precision("bf16", True))["x"].data_ptr() == once["x"].data_ptr()
    assert precision.to_layout(batch, Precision("fp32", False)) is batch
