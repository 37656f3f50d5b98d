"""Vision Transformer: an image as a sequence of patches.

Legend: N images, L tokens, D hidden width, h and w the grid of patches.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.core.errors import LamplighterError
from lamplighter.core.registry import FromData
from lamplighter.models.weights.layouts import Layout
from lamplighter.models.weights.vit_names import TIMM
from lamplighter.nn.dropout import StochasticDepth, stochastic_depth_rates
from lamplighter.nn.image_input import image_input
from lamplighter.nn.multi_head import MultiHeadAttention
from lamplighter.nn.pooling import AttentionPool

_EPS = 1e-6
PoolName = Literal["token", "mean", "attention"]
Size = int | tuple[int, int]
Share = Annotated[float, Field(ge=0, lt=1)]


class VisionTransformer(nn.Module):
    """Patches through one linear map, a class token in front, positions added, pre-norm encoder blocks, linear head on
    the class token (Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words").

    Names of parameters are torchvision's; timm's load too. In the head it differs from torchvision at the start: that
    one is 0 there, which makes every output 0; here it is small and random.

    Positions belong to the grid of patches the model is built for. Other images, of any sides that the patch divides,
    are served by interpolating the positions bicubically, and so is a checkpoint of another grid when it is loaded.

    Args:
        in_channels: colours of the image.
        num_classes: width of the output: classes, or targets of a regression.
        image_size: side, or height and width, that the positions are made for; filled in from the data.
        patch_size: side of a patch; must divide the image's sides. Each halving makes four times as many tokens.
        num_layers: encoder blocks.
        num_heads: heads of attention; must divide ``hidden_dim``.
        hidden_dim: width D of a token.
        mlp_dim: width inside the two linear layers of a block.
        dropout: share of numbers set to 0 after positions, attention and linear layers in each training step.
        attention_dropout: share of attention weights set to 0 in each training step.
        stochastic_depth: probability of leaving out the last block in a training step; earlier blocks' is smaller.
        register_tokens: further learned tokens without position, where the network can keep what belongs to no patch
            (Darcet et al. 2024). The head does not see them.
        pool: what the head sees: the class ``token``, the ``mean`` of the patches, or ``attention`` over them.

    Shapes:
        (N, in_channels, H, W) -> (N, num_classes)

    Raises:
        LamplighterError: a patch that does not divide the image, heads that do not divide the width, or images of
            another number of channels.

    >>> model = VisionTransformer(in_channels=1, num_classes=10, image_size=8)
    >>> sum(p.numel() for p in model.parameters())
    799370
    """

    layouts: ClassVar[tuple[Layout, ...]] = (TIMM,)
    """Other names under which checkpoints hold these tensors."""

    def __init__(
        self,
        in_channels: Annotated[int, FromData],
        num_classes: Annotated[int, FromData],
        image_size: Annotated[Size, FromData],
        patch_size: Annotated[int, Field(gt=0)] = 4,
        num_layers: Annotated[int, Field(gt=0)] = 6,
        num_heads: Annotated[int, Field(gt=0)] = 4,
        hidden_dim: Annotated[int, Field(gt=0)] = 128,
        mlp_dim: Annotated[int, Field(gt=0)] = 256,
        dropout: Share = 0.0,
        attention_dropout: Share = 0.0,
        stochastic_depth: Share = 0.0,
        register_tokens: Annotated[int, Field(ge=0)] = 0,
        pool: PoolName = "token",
    ) -> None:
        super().__init__()
        if hidden_dim % num_heads:
            raise LamplighterError(
                f"VisionTransformer: hidden_dim={hidden_dim} is not divisible by num_heads={num_heads} (self_attention)"
            )
        self.patch_size = patch_size
        self.grid = self._grid(*((image_size, image_size) if isinstance(image_size, int) else image_size))
        self.conv_proj = nn.Conv2d(in_channels, hidden_dim, patch_size, patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, hidden_dim))
        self.register_tokens: nn.Parameter | None = None
        if register_tokens:
            self.register_tokens = nn.Parameter(0.02 * torch.randn(1, register_tokens, hidden_dim))
        self.encoder = Encoder(
            1 + self.grid[0] * self.grid[1],
            num_layers,
            num_heads,
            hidden_dim,
            mlp_dim,
            dropout,
            attention_dropout,
            stochastic_depth,
        )
        self.pool = pool
        self.attention_pool = AttentionPool(hidden_dim) if pool == "attention" else None
        head = nn.Linear(hidden_dim, num_classes)
        self.heads = nn.Sequential()
        self.heads.add_module("head", head)
        nn.init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / self.conv_proj.weight[0].numel()))
        nn.init.zeros_(self.conv_proj.bias)  # type: ignore[arg-type]
        nn.init.trunc_normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)

    @property
    def head(self) -> nn.Module:
        """The last layer, under the name that every model of the zoo has it."""
        return self.heads[0]

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """The patches' tokens after each block as maps (N, D, h, w), all of one resolution: ``encoder_layer_0`` to the
        last, which is normalised.
        """
        tokens, grid = self._embed(x)
        maps = {}
        for name, block in self.encoder.layers.named_children():
            tokens = block(tokens)
            maps[name] = tokens
        maps[name] = self.encoder.ln(tokens)
        return {name: self._patches(tokens).transpose(1, 2).unflatten(2, grid) for name, tokens in maps.items()}

    def forward_features(self, x: Tensor) -> Tensor:
        """Input of the head, (N, D)."""
        tokens, _ = self._embed(x)
        tokens = self.encoder.ln(self.encoder.layers(tokens))
        if self.pool == "token":
            return tokens[:, 0]
        patches = self._patches(tokens)
        if self.attention_pool is None:
            return patches.mean(dim=1)
        pooled: Tensor = self.attention_pool(patches)
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.heads(self.forward_features(x))
        return logits

    def adapted(self, name: str, tensor: Tensor) -> tuple[Tensor, str] | None:
        """A checkpoint's tensor of another shape made to fit: positions of another square grid.

        Returns:
            The tensor and what was done, or None where nothing can be.
        """
        side = math.isqrt(tensor.shape[1] - 1) if tensor.dim() == 3 and tensor.shape[1] > 1 else 0
        if name != "encoder.pos_embedding" or side * side != tensor.shape[1] - 1:
            return None
        grid = f"{self.grid[0]}x{self.grid[1]}"
        return resized(tensor, (side, side), self.grid), f"{side}x{side} positions interpolated to {grid}"

    def _embed(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Tokens with positions, (N, 1 + registers + h w, D), and the grid."""
        x = image_input(x, self.conv_proj, "VisionTransformer")
        grid = self._grid(x.shape[2], x.shape[3])
        patches = self.conv_proj(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(x.shape[0], -1, -1), patches], dim=1)
        positions: Tensor = self.encoder.pos_embedding
        if grid != self.grid:
            positions = resized(positions, self.grid, grid)
        tokens = self.encoder.dropout(tokens + positions)
        if self.register_tokens is not None:
            registers = self.register_tokens.expand(x.shape[0], -1, -1)
            tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)
        return tokens, grid

    def _patches(self, tokens: Tensor) -> Tensor:
        """Without class token and registers."""
        return tokens[:, 1 if self.register_tokens is None else 1 + self.register_tokens.shape[1] :]

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        if height % self.patch_size or width % self.patch_size:
            raise LamplighterError(
                f"VisionTransformer: an image of {height}x{width} pixels is not divisible by patch_size="
                f"{self.patch_size} (conv_proj); choose another patch_size or resize the images"
            )
        return height // self.patch_size, width // self.patch_size


class Encoder(nn.Module):
    """Positions, blocks and the last normalisation, which `VisionTransformer` runs.

    Args:
        seq_length: positions, the class token's among them.
        num_layers, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, stochastic_depth: see there.
    """

    def __init__(
        self,
        seq_length: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        stochastic_depth: float,
    ) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(0.02 * torch.randn(1, seq_length, hidden_dim))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential()
        for index, rate in enumerate(stochastic_depth_rates(stochastic_depth, num_layers)):
            block = EncoderBlock(num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, rate)
            self.layers.add_module(f"encoder_layer_{index}", block)
        self.ln = nn.LayerNorm(hidden_dim, eps=_EPS)


class EncoderBlock(nn.Module):
    """h = x + attention(norm(x)); h + mlp(norm(h)).

    Args:
        num_heads: heads of attention.
        hidden_dim: D.
        mlp_dim: width inside the two linear layers, with an exact GELU between them.
        dropout: after attention and after each linear layer.
        attention_dropout: of attention weights.
        stochastic_depth: probability of leaving out each of the two residual branches for an image in training.

    Shapes:
        (N, L, D) -> (N, L, D)
    """

    def __init__(
        self,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        stochastic_depth: float,
    ) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(hidden_dim, eps=_EPS)
        self.self_attention = MultiHeadAttention(hidden_dim, num_heads, dropout=attention_dropout)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = nn.LayerNorm(hidden_dim, eps=_EPS)
        self.mlp = nn.Sequential(
            nn.Linear(hidden_dim, mlp_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_dim, hidden_dim),
            nn.Dropout(dropout),
        )
        self.skip = StochasticDepth(stochastic_depth)
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        attended, _ = self.self_attention(self.ln_1(x))
        h = x + self.skip(self.dropout(attended))
        out: Tensor = h + self.skip(self.mlp(self.ln_2(h)))
        return out


def resized(positions: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Positions of one grid of patches for another, interpolated bicubically from corner to corner as by torchvision.

    Args:
        positions: (1, 1 + old height * old width, D); the class token's stays as it is.
        old: height and width of their grid.
        new: height and width wanted.

    >>> resized(torch.tensor([[[9.0], [0.0], [1.0], [0.0], [1.0]]]), (2, 2), (1, 3)).flatten()
    tensor([9.0000, 0.0000, 0.5000, 1.0000])
    """
    token, patches = positions[:, :1], positions[:, 1:]
    as_map = patches.transpose(1, 2).unflatten(2, old)
    as_map = F.interpolate(as_map, size=new, mode="bicubic", align_corners=True)
    return torch.cat([token, as_map.flatten(2).transpose(1, 2)], dim=1)


def vit_b_16(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    image_size: Annotated[Size, FromData] = 224,
    dropout: Share = 0.0,
    attention_dropout: Share = 0.0,
    stochastic_depth: Share = 0.0,
    register_tokens: Annotated[int, Field(ge=0)] = 0,
) -> VisionTransformer:
    """ViT-B/16: twelve blocks of width 768, patches of 16 pixels; 86.6 million parameters with 1,000 classes.

    Args:
        in_channels: colours of the image.
        num_classes: width of the output: classes, or targets of a regression.
        image_size: side, or height and width, of the images; filled in from the data.
        dropout: share of numbers set to 0 after positions, attention and linear layers in each training step.
        attention_dropout: share of attention weights set to 0 in each training step.
        stochastic_depth: probability of leaving out the last block in a training step; earlier blocks' is smaller.
        register_tokens: further learned tokens without position.
    """
    return VisionTransformer(
        in_channels, num_classes, image_size, 16, 12, 12, 768, 3072,
        dropout, attention_dropout, stochastic_depth, register_tokens,
    )  # fmt: skip


def vit_b_32(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    image_size: Annotated[Size, FromData] = 224,
    dropout: Share = 0.0,
    attention_dropout: Share = 0.0,
    stochastic_depth: Share = 0.0,
    register_tokens: Annotated[int, Field(ge=0)] = 0,
) -> VisionTransformer:
    """ViT-B/32: twelve blocks of width 768, patches of 32 pixels; 88.2 million parameters with 1,000 classes, and a
    quarter of ViT-B/16's tokens.

    Args:
        in_channels: colours of the image.
        num_classes: width of the output: classes, or targets of a regression.
        image_size: side, or height and width, of the images; filled in from the data.
        dropout: share of numbers set to 0 after positions, attention and linear layers in each training step.
        attention_dropout: share of attention weights set to 0 in each training step.
        stochastic_depth: probability of leaving out the last block in a training step; earlier blocks' is smaller.
        register_tokens: further learned tokens without position.
    """
    return VisionTransformer(
        in_channels, num_classes, image_size, 32, 12, 12, 768, 3072,
        dropout, attention_dropout, stochastic_depth, register_tokens,
    )  # fmt: skip


def vit_l_16(
    in_channels: Annotated[int, FromData],
    num_classes: Annotated[int, FromData],
    image_size: Annotated[Size, FromData] = 224,
    dropout: Share = 0.0,
    attention_dropout: Share = 0.0,
    stochastic_depth: Share = 0.0,
    register_tokens: Annotated[int, Field(ge=0)] = 0,
) -> VisionTransformer:
    """ViT-L/16: twenty-four blocks of width 1,024, patches of 16 pixels; 304.3 million parameters with 1,000 classes.

    Args:
        in_channels: colours of the image.
        num_classes: width of the output: classes, or targets of a regression.
        image_size: side, or height and width, of the images; filled in from the data.
        dropout: share of numbers set to 0 after positions, attention and linear layers in each training step.
        attention_dropout: share of attention weights set to 0 in each training step.
        stochastic_depth: probability of leaving out the last block in a training step; earlier blocks' is smaller.
        register_tokens: further learned tokens without position.
    """
    return VisionTransformer(
        in_channels, num_classes, image_size, 16, 24, 16, 1024, 4096,
        dropout, attention_dropout, stochastic_depth, register_tokens,
    )  # fmt: skip
