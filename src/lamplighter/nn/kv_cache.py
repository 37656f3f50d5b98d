"""Keys and values of the tokens so far, so that a step of generation computes those of the new token only."""

from __future__ import annotations

from torch import Tensor


class LayerCache:
    """Keys and values of one attention layer. Room doubles when it runs out, so steps do not copy the whole past.

    >>> import torch
    >>> cache = LayerCache()
    >>> cache.update(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4))[0].shape
    torch.Size([1, 2, 3, 4])
    >>> keys, values = cache.update(torch.ones(1, 2, 1, 4), torch.ones(1, 2, 1, 4))
    >>> keys.shape, cache.length
    (torch.Size([1, 2, 4, 4]), 4)
    """

    def __init__(self) -> None:
        self.length = 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append those of new positions; give those of all.

        Shapes:
            (N, H, L, D), (N, H, L, Dv) -> (N, H, length, D), (N, H, length, Dv)

        Raises:
            ValueError: another number of rows or heads, or another width, than before.
        """
        end = self.length + keys.shape[2]
        self._keys = _with_room(self._keys, keys, self.length, end)
        self._values = _with_room(self._values, values, self.length, end)
        self._keys[:, :, self.length : end] = keys
        self._values[:, :, self.length : end] = values
        self.length = end
        return self._keys[:, :, :end], self._values[:, :, :end]

    def reorder(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row may come several times (beam search).

        Args:
            rows: (M,), indices of rows.
        """
        if self._keys is not None and self._values is not None:
            self._keys, self._values = self._keys[rows], self._values[rows]


class KVCache:
    """One `LayerCache` for each layer of a decoder.

    Args:
        layers: how many.
    """

    def __init__(self, layers: int) -> None:
        self.layers = [LayerCache() for _ in range(layers)]

    @property
    def length(self) -> int:
        """Positions that every layer has seen."""
        return self.layers[-1].length

    def __getitem__(self, layer: int) -> LayerCache:
        return self.layers[layer]

    def reorder(self, rows: Tensor) -> None:
        """Keep these rows of the batch, in this order."""
        for layer in self.layers:
            layer.reorder(rows)


def _with_room(held: Tensor | None, new: Tensor, length: int, end: int) -> Tensor:
    """A buffer of at least ``end`` positions that begins with what is held."""
    if held is None:
        return new.new_empty(*new.shape[:2], max(end, 32), new.shape[3])
    if held.shape[:2] != new.shape[:2] or held.shape[3] != new.shape[3]:
        raise ValueError(
            f"the cache holds {tuple(held.shape[:2])} rows and heads of width {held.shape[3]}, "
            f"the new positions have {tuple(new.shape[:2])} of width {new.shape[3]}"
        )
    if end <= held.shape[2]:
        return held
    larger = held.new_empty(*held.shape[:2], max(end, 2 * held.shape[2]), held.shape[3])
    larger[:, :, :length] = held[:, :, :length]
    return larger
