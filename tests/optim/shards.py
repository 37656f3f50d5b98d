"""One of two processes of `test_sharded`: sharded parameters step like whole ones. Run as a script."""

from __future__ import annotations

import sys
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from lamplighter.core import registry
from lamplighter.core.errors import TrainingError
from lamplighter.optim.groups import parameter_groups
from lamplighter.optim.sam import Ascent

CLIPS: list[tuple[str, dict[str, Any]]] = [
    ("norm", {"max_norm": 0.1}),
    ("norm", {"max_norm": 0.1, "norm_type": 1}),
    ("norm", {"max_norm": 0.1, "norm_type": "inf"}),
    ("value", {"max_value": 0.01}),
    ("adaptive", {}),
]


def network() -> nn.Sequential:
    """Sizes that two processes cannot share evenly."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.Flatten(), nn.Linear(20, 7), nn.Tanh(), nn.Linear(7, 6), nn.Linear(6, 3)
    ).double()


def train(net: nn.Sequential, optimizer: str, clip: tuple[str, dict[str, Any]], sam: bool) -> list[float]:
    """Three steps; the norms of the gradients."""
    groups = parameter_groups(net, net.named_parameters())
    stepper = registry.build("optimizer", optimizer, {}, {"params": groups, "module": net})
    limit = registry.build("clip", clip[0], clip[1], {"module": net})
    ascent = Ascent(stepper, 0.1)
    norms = []
    for step in range(3):
        x = torch.randn(8, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        for climb in (True, False) if sam else (False,):
            stepper.zero_grad()
            (30 * net(x).square().mean()).backward()
            if climb:
                ascent.step()
        norms.append(limit([p for group in stepper.param_groups for p in group["params"]]).item())
        stepper.step()
    return norms


def main(rank: int, store: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    cases = [(name, CLIPS[0], False) for name in registry.names("optimizer")]
    cases += [("sgd", clip, True) for clip in CLIPS]
    for name, clip, sam in cases:
        whole, shared = network(), network()
        for layer in (shared[0], shared[2]):
            fully_shard(layer, mesh=mesh)
        fully_shard(shared, mesh=mesh)
        expected = train(whole, name, clip, sam)
        try:
            norms = train(shared, name, clip, sam)
        except TrainingError as error:
            print(name, f"refused: {error}")
            continue
        weights = zip(whole.parameters(), shared.parameters())
        difference = max((p - q.full_tensor()).abs().max().item() for p, q in weights)  # type: ignore[operator]
        difference = max(difference, *(abs(a - b) for a, b in zip(expected, norms)))
        print(name, "same" if difference <= 1e-12 else f"{clip}: differs by {difference}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
