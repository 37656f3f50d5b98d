"""Parity of the Vision Transformers with torchvision's and timm's.

torchvision's head starts at 0, so that every output is 0 and any two models agree; `pair` draws it at random.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import timm
import torchvision
from parity import Case, noise
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter import models

SMALL = {"patch_size": 4, "num_layers": 2, "num_heads": 3, "hidden_dim": 24, "mlp_dim": 40}


def ours(name: str = "vit", **options: Any) -> Any:
    return lambda: models.create(name, in_channels=3, num_classes=5, **options)


def _torchvision(**options: Any) -> Any:
    return lambda: torchvision.models.VisionTransformer(num_classes=5, **options)


def _timm(size: int, **options: Any) -> Any:
    def build() -> nn.Module:
        return timm.models.VisionTransformer(
            img_size=size, patch_size=4, embed_dim=24, depth=2, num_heads=3, mlp_ratio=2, num_classes=5, **options
        )

    return build


def _block(model: Any) -> Any:
    return model.encoder.layers[0]


def wrong_epsilon(model: Any) -> None:
    """LayerNorm's default 1e-5 for 1e-6."""
    _block(model).ln_2.eps = 1e-5


def tanh_gelu(model: Any) -> None:
    _block(model).mlp[1] = nn.GELU(approximate="tanh")


def norm_behind(model: Any) -> None:
    """Post-norm for pre-norm."""
    block = _block(model)

    def forward(x: Tensor) -> Tensor:
        h = block.ln_1(x + block.self_attention(x)[0])
        out: Tensor = block.ln_2(h + block.mlp(h))
        return out

    block.forward = forward


def across_the_batch(model: Any) -> None:
    """Attention among the images of a batch for attention among the patches of an image."""
    attention = _block(model).self_attention
    inner = attention.forward
    attention.forward = lambda x: (inner(x.transpose(0, 1))[0].transpose(0, 1), None)


def no_last_norm(model: Any) -> None:
    model.encoder.ln = nn.Identity()


def mean_of_all_tokens(model: Any) -> None:
    model.pool = "mean"


def positions_shifted(model: Any) -> None:
    model.encoder.pos_embedding.data = model.encoder.pos_embedding.data.roll(1, 1)


def patches_by_columns(model: Any) -> None:
    """The grid of patches read down the columns."""
    project = model.conv_proj

    class Transposed(nn.Module):
        weight, in_channels = project.weight, project.in_channels

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, project.weight, project.bias, project.stride).transpose(2, 3)

    model.conv_proj = Transposed()


CASES = [
    Case(
        model="vit",
        reference="torchvision.models.VisionTransformer",
        ours=ours(image_size=16, **SMALL),
        theirs=_torchvision(image_size=16, **SMALL),
        inputs=lambda: (noise(3, 3, 16, 16),),
        mutations=(
            wrong_epsilon,
            tanh_gelu,
            norm_behind,
            across_the_batch,
            no_last_norm,
            mean_of_all_tokens,
            positions_shifted,
            patches_by_columns,
        ),
    ),
    Case(
        model="vit",
        variant="timm",
        reference="timm.models.VisionTransformer",
        ours=ours(image_size=16, **SMALL | {"mlp_dim": 48}),
        theirs=_timm(16),
        inputs=lambda: (noise(3, 3, 16, 16),),
        mutations=(wrong_epsilon, tanh_gelu),
    ),
    Case(
        model="vit",
        variant="timm, mean of the patches",
        reference="timm.models.VisionTransformer(global_pool='avg', fc_norm=False)",
        ours=ours(image_size=16, pool="mean", **SMALL | {"mlp_dim": 48}),
        theirs=_timm(16, global_pool="avg", fc_norm=False),
        inputs=lambda: (noise(3, 3, 16, 16),),
    ),
    Case(
        model="vit",
        variant="timm, registers without position",
        reference="timm.models.VisionTransformer(reg_tokens=3, no_embed_class=True)",
        ours=ours(image_size=12, register_tokens=3, **SMALL | {"mlp_dim": 48}),
        theirs=_timm(12, reg_tokens=3, no_embed_class=True),
        inputs=lambda: (noise(3, 3, 12, 12),),
    ),
    *(
        Case(
            model=f"vit_{size}_{patch}",
            reference=f"torchvision.models.vit_{size}_{patch}",
            ours=ours(f"vit_{size}_{patch}", image_size=2 * patch),
            theirs=partial(getattr(torchvision.models, f"vit_{size}_{patch}"), num_classes=5, image_size=2 * patch),
            inputs=lambda patch=patch: (noise(2, 3, 2 * patch, 2 * patch),),
            slow=True,
        )
        for size, patch in (("b", 16), ("b", 32), ("l", 16))
    ),
]
