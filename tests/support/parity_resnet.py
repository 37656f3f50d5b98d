"""Parity of the ResNets with torchvision's."""

from __future__ import annotations

import torchvision
from parity import Case, noise

from lamplighter import models

SLOW = {"resnet101", "resnext50_32x4d", "wide_resnet50_2"}


def _case(name: str) -> Case:
    return Case(
        model=name,
        reference=f"torchvision.models.{name}",
        ours=lambda: models.create(name, in_channels=3, num_classes=7),
        theirs=lambda: getattr(torchvision.models, name)(num_classes=7),
        inputs=lambda: (noise(2, 3, 40, 33),),
        slow=name in SLOW,
    )


CASES = [
    _case(name) for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "wide_resnet50_2")
]
