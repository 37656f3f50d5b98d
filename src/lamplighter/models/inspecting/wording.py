"""Words for modules in pictures: a title, sizes, and the family that gives the colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from lamplighter.models.inspecting.structure import Box

_CONVS = nn.modules.conv._ConvNd
_POOLS = (
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_DROPS = nn.modules.dropout._DropoutNd
_ACTIVATIONS = "torch.nn.modules.activation"


def describe(module: nn.Module) -> tuple[str, list[str]]:
    """Title and details.

    >>> describe(nn.Conv2d(3, 64, 7, stride=2, padding=3))
    ('Conv2d', ['3 → 64', '7×7', 'stride 2'])
    """
    kind = type(module).__name__
    if type(module) is nn.Sequential:
        inner = [type(part).__name__ for part in module.children() if _family(part) != "small"]
        return " + ".join(inner) or kind, []
    if isinstance(module, _CONVS):
        return kind, _convolution(module)
    if isinstance(module, nn.Linear):
        return kind, [f"{module.in_features} → {module.out_features}"]
    if isinstance(module, nn.Embedding):
        return kind, [f"{module.num_embeddings} × {module.embedding_dim}"]
    if isinstance(module, nn.RNNBase):
        words = [f"{module.input_size} → {module.hidden_size}"]
        words += [f"{module.num_layers} layers"] if module.num_layers > 1 else []
        return kind, words + (["bidirectional"] if module.bidirectional else [])
    if isinstance(module, _POOLS) and hasattr(module, "kernel_size"):
        return kind, [f"kernel {_step(module.kernel_size)}", f"stride {_step(module.stride)}"]
    return kind, []


def kind_of(module: nn.Module) -> str:
    """The family of a layer, or of what a block is mostly about; ``small`` for norms, activations, dropout."""
    own = _family(module)
    if own or not list(module.children()):
        return own or "other"
    families = {_family(inner) for inner in module.modules()} | ({"attention"} if _attends(module) else set())
    return next(
        (f for f in ("attention", "recurrent", "conv", "linear", "embedding", "pool") if f in families), "other"
    )


def is_small(host: Box) -> bool:
    """Whether a box is a single layer, so that small layers behind it may be taken in."""
    return host.count == 1 and host.skips == 0 and host.kind != "attention"


def _family(module: nn.Module) -> str:
    if isinstance(module, _CONVS):
        return "conv"
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, nn.Embedding):
        return "embedding"
    if any(name.startswith("weight_hh") for name, _ in module.named_parameters(recurse=False)):
        return "recurrent"
    if isinstance(module, nn.MultiheadAttention):
        return "attention"
    if isinstance(module, _POOLS):
        return "pool"
    small = isinstance(module, (*_NORMS, _DROPS, nn.Identity, nn.Flatten))
    return "small" if small or type(module).__module__ == _ACTIVATIONS else ""


def _attends(module: nn.Module) -> bool:
    return any("attention" in type(inner).__name__.lower() for inner in module.modules())


def _convolution(module: Any) -> list[str]:
    words = [f"{module.in_channels} → {module.out_channels}", _times(module.kernel_size)]
    for name, plain in (("stride", 1), ("dilation", 1)):
        value = getattr(module, name)
        words += [f"{name} {_step(value)}"] if set(value) != {plain} else []
    return words + ([f"{module.groups} groups"] if module.groups > 1 else [])


def _step(value: Any) -> str:
    """``2`` for a stride of 2 along every axis, else all of them."""
    values = {value} if isinstance(value, int) else {*value}
    return str(values.pop()) if len(values) == 1 else _times(value)


def _times(value: Any) -> str:
    """``7×7`` for a kernel of (7, 7)."""
    values = [value] if isinstance(value, int) else [*value]
    return str(values[0]) if len(values) == 1 else "×".join(map(str, values))
