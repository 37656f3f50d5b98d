"""When rows are mixed, and that everything drawn comes from the generator: MixUp, CutMix and both."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lamplighter.core import registry
from lamplighter.core.errors import DataError, LamplighterError
from lamplighter.data.source import Batch
from lamplighter.tasks.base import Task
from lamplighter.train.callbacks.base import Callback, State
from lamplighter.train.callbacks.cutmix import CutMix
from lamplighter.train.callbacks.mixup import Mixup
from lamplighter.train.callbacks.mixup_cutmix import MixupCutMix

KINDS: dict[str, Callable[..., Callback]] = {
    "mixup": functools.partial(Mixup, 10, alpha=1.0),
    "cutmix": functools.partial(CutMix, 10, alpha=1.0),
    "mixup-cutmix": functools.partial(MixupCutMix, 10, mixup_alpha=1.0, cutmix_alpha=1.0),
}
NAMES = list(KINDS)


def build(name: str, **params: Any) -> Callback:
    return KINDS[name](**params)


def run(callback: Callback, batch: Batch, step: int = 0, seed: int = 0) -> Batch:
    state = State(Task(), "loss", "min", 10, total_steps=100, step=step)
    return callback.on_batch(batch, state, torch.Generator().manual_seed(seed))


def colours(rows: int = 10, dtype: torch.dtype = torch.uint8) -> Batch:
    """Row i is an image of the one colour i, and of class i: whatever is in it can be read off."""
    x = torch.arange(rows)[:, None, None, None].expand(rows, 2, 9, 8).to(dtype)
    return {"x": x.clone(), "y": torch.arange(rows)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("per_sample", [False, True])
def test_targets_say_what_is_in_the_images(name: str, per_sample: bool) -> None:
    """The expected colour under the soft label is the mean colour of the mixed image."""
    callback, distinct = build(name, per_sample=per_sample), 0
    for seed in range(30):
        batch = run(callback, colours(), seed=seed)
        assert batch["y"].dtype == torch.float32
        assert torch.allclose(batch["y"].sum(1), torch.ones(10), atol=1e-6)
        said = batch["y"] @ torch.arange(10.0)
        assert torch.allclose(batch["x"].float().mean((1, 2, 3)), said, atol=1e-5)
        shares = batch["y"].max(1).values
        distinct += len(shares[shares < 1].round(decimals=4).unique())
    assert distinct > 60 if per_sample else distinct <= 30


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("per_sample", [False, True])
def test_p_is_the_chance_of_being_mixed(name: str, per_sample: bool) -> None:
    assert torch.equal(run(build(name, p=0.0), colours())["x"].float(), colours()["x"].float())
    assert torch.equal(run(build(name, p=0.0), colours())["y"], torch.eye(10))
    callback = build(name, p=0.3, per_sample=per_sample)
    mixed = [(run(callback, colours(), seed=seed)["y"].max(1).values < 1).float() for seed in range(600)]
    touched = torch.stack(mixed)
    rows = float(touched.mean()) if per_sample else float(touched.amax(1).mean())
    share = 0.3 * (0.9 if per_sample else 1)  # one row in ten is its own partner
    assert share * 0.75 < rows < share * 1.15, "boxes can be empty, too"


@pytest.mark.parametrize("name", NAMES)
def test_mixing_ends_where_until_says(name: str) -> None:
    callback = build(name, until=0.9)
    assert run(callback, colours(), step=89)["y"].is_floating_point()
    after = run(callback, colours(), step=90)
    assert torch.equal(after["y"], colours()["y"])
    assert after["x"].dtype == torch.uint8
    assert run(build(name), colours(), step=99)["y"].is_floating_point(), "by default it never ends"


def test_types_of_images() -> None:
    assert run(build("mixup"), colours())["x"].dtype == torch.float32
    assert run(build("cutmix"), colours())["x"].dtype == torch.uint8
    assert run(build("mixup-cutmix"), colours())["x"].dtype == torch.float32
    for name in NAMES:
        assert run(build(name), colours(dtype=torch.float64))["x"].dtype == torch.float64


def test_both_are_chosen_as_often_as_told() -> None:
    def cut(batch: Batch) -> bool:
        return bool((batch["x"] == batch["x"].round()).all())  # whole colours: pasted, not blended

    for share in (0.0, 0.3, 1.0):
        callback = build("mixup-cutmix", cutmix_share=share)
        count = sum(cut(run(callback, colours(), seed=seed)) for seed in range(400))
        assert abs(count / 400 - share) < 0.07


def test_tables_and_numbers_are_mixed_by_mixup_alone() -> None:
    x = torch.arange(6.0)[:, None].expand(6, 3).clone()
    table = {"x": x, "y": 2 * x[:, :1]}
    mixed = run(build("mixup"), table)
    assert torch.allclose(mixed["y"], 2 * mixed["x"][:, :1])
    assert not torch.equal(mixed["x"], x)
    for name in ("cutmix", "mixup-cutmix"):
        with pytest.raises(DataError, match=f"'{name}' works on images"):
            run(build(name), table)


@pytest.mark.parametrize("params", [{"alpha": 0}, {"p": 1.5}, {"until": 0}, {"num_classes": 3}])
def test_bad_parameters_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(LamplighterError, match=next(iter(params))):
        registry.build("callback", "mixup", params, {"num_classes": 10})
