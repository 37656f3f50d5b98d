"""What goes into a model and what comes out, as data: written into the bundle, read by the server."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["image", "numeric", "category", "boolean", "date", "text", "array"]


class Column(BaseModel):
    """One input a client sends, or one target a data set has.

    Attributes:
        name: column of a table, or ``"image"``, or ``"x"`` for plain arrays.
        kind: what the values mean.
        categories: for ``category`` targets the labels, index by index; for ``category`` inputs the values seen in
            the training split (others are accepted at serving time and counted as unseen).
        required: whether a client must send the field; a column that had blanks in training may be left out.
        shape: for ``image`` (height, width, channels) after preprocessing, for ``array`` its shape; else empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    required: bool = True
    shape: tuple[int, ...] = ()


class TensorSpec(BaseModel):
    """One tensor as the network takes it, without the batch dimension.

    Attributes:
        name: key in the batch and name of the ONNX input.
        dtype: numpy name, for instance ``"uint8"`` or ``"float32"``.
        shape: sizes; ``None`` for a dimension that varies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class Signature(BaseModel):
    """The contract between data, network, bundle and client.

    Attributes:
        inputs: what a client sends, column by column.
        tensors: what preprocessing makes of it.
        targets: what is predicted. One ``category`` column, or one or more ``numeric`` ones.

    >>> signature = Signature(
    ...     inputs=(Column(name="image", kind="image", shape=(8, 8, 1)),),
    ...     tensors=(TensorSpec(name="x", dtype="uint8", shape=(1, 8, 8)),),
    ...     targets=(Column(name="label", kind="category", categories=("cat", "dog")),),
    ... )
    >>> signature.facts()["in_channels"], signature.facts()["in_features"], signature.facts()["num_classes"]
    (1, 64, 2)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: tuple[Column, ...]
    tensors: tuple[TensorSpec, ...]
    targets: tuple[Column, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the only ``category`` target; empty when the targets are numbers."""
        if len(self.targets) == 1 and self.targets[0].kind == "category":
            return self.targets[0].categories
        return ()

    def facts(self) -> dict[str, Any]:
        """Values for constructor parameters marked `FromData`.

        Returns:
            ``in_features`` (numbers in one row), ``in_channels`` and ``image_size`` (height, width) for images,
            ``num_classes``: the width of the head, that is the number of labels, or of numeric targets;
            ``signature``: this object.
        """
        facts: dict[str, Any] = {"signature": self, "num_classes": len(self.labels) or len(self.targets)}
        shape = self.tensors[0].shape if len(self.tensors) == 1 else ()
        sizes = [size for size in shape if size is not None]
        if shape and len(sizes) == len(shape):
            facts["in_features"] = _product(sizes)
        if len(shape) == 3:
            facts["in_channels"] = shape[0]
            facts["image_size"] = shape[1:]
        return facts


def _product(sizes: list[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result
