"""All members in one call give exactly what a loop over them gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lamplighter.core.errors import LamplighterError
from lamplighter.tasks.vectorised import check_alike, vectorised_losses

NORMED = {"model": {"name": "mlp", "hidden": [6], "norm": "batch"}}


@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("spec", [{}, NORMED])
def test_vmap_is_the_loop(
    build: Callable[..., Any], batch: Callable[..., dict[str, Tensor]], spec: dict[str, Any], classes: bool
) -> None:
    rows = batch(classes=classes)
    rows["x"] = rows["x"].double()
    rows["y"] = rows["y"] if classes else rows["y"].double()
    rows["y"][2] = -1 if classes else torch.nan
    loop = build("ensemble", classes=classes, members=[spec] * 4).double()
    fast = build("ensemble", classes=classes, members=[spec] * 4, vmap=True).double()
    for _ in range(3):
        found = []
        for task in (loop, fast):
            task.zero_grad()
            (loss,) = list(task.step(rows))
            loss.value.backward()
            found.append(loss)
            with torch.no_grad():
                for parameter in task.parameters():
                    parameter -= 0.1 * parameter.grad
        assert float(found[0].value.detach()) == pytest.approx(float(found[1].value.detach()), rel=1e-12)
        assert float(found[0].weight) == float(found[1].weight)
    ours, theirs = fast.state_dict(), loop.state_dict()
    assert any("running_mean" in name for name in ours) == (spec is NORMED)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-12, atol=1e-12)
    if spec is NORMED:
        assert all(int(ours[name]) == 3 for name in ours if name.endswith("num_batches_tracked"))


def test_each_member_drops_units_of_its_own(build: Callable[..., Any], batch: Callable[..., dict[str, Tensor]]) -> None:
    dropped = {"model": {"name": "mlp", "hidden": [50], "dropout": 0.5}}
    task = build("ensemble", members=[dropped] * 2)
    task.tasks[1].load_state_dict(task.tasks[0].state_dict())
    values, _ = vectorised_losses(task.tasks, batch())
    assert values[0] != values[1]
    same, _ = vectorised_losses(task.eval().tasks, batch())
    assert same[0] == same[1]


def test_other_tasks_are_not_alike(build: Callable[..., Any]) -> None:
    with pytest.raises(LamplighterError, match=r"member 2 is not like member 1 .*differs"):
        check_alike([build("classification"), build("ensemble", members=2)])
    same_shapes = build("classification")
    same_shapes.__class__ = type("Other", (type(same_shapes),), {})
    with pytest.raises(LamplighterError, match=r"member 2 is not like member 1 .it is another task"):
        check_alike([build("classification"), same_shapes])
