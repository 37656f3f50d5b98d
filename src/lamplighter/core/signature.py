"""What goes into a model and what comes out, as data: written into the bundle, read by the server."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["image", "numeric", "category", "boolean", "date", "text", "array", "mask", "tags", "tokens"]


class Column(BaseModel):
    """One input a client sends, or one target a data set has.

    Attributes:
        name: column of a table, or ``"image"``, or ``"x"`` for plain arrays.
        kind: what the values mean. Of targets: ``category`` is one label a row, ``mask`` one a pixel, ``tags`` one a
            word, ``tokens`` the text itself (the next or a hidden token), ``text`` another text.
        categories: for ``category``, ``mask`` and ``tags`` targets the labels, index by index; for ``category`` inputs
            the values seen in the training split (others are accepted at serving time and counted as unseen).
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
        pad: what fills a shorter row up to the longest of its batch; null: rows of one batch must have one shape.
        longest: largest size of the dimensions that vary; null: no limit.
        group: tensors of one group have equal sizes where they vary at the same axis.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    pad: int | None = None
    longest: int | None = None
    group: str = ""


class Vocabulary(BaseModel):
    """The tokens that texts are made of.

    Attributes:
        size: ids are 0 to ``size - 1``.
        pad: fills up short rows.
        unk: stands for what no token covers; null where every text can be written.
        bos, eos: begin and end of a text, for models that write.
        cls, sep: first and last token of a text, for encoders.
        mask: hides a token, for masked language models.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    pad: int
    unk: int | None = None
    bos: int | None = None
    eos: int | None = None
    cls: int | None = None
    sep: int | None = None
    mask: int | None = None


HEADS = {"category": "classifier", "tags": "tagger", "tokens": "lm", "text": "seq2seq"}
"""Kind of target -> what a text model puts on its hidden states."""


class Signature(BaseModel):
    """The contract between data, network, bundle and client.

    Attributes:
        inputs: what a client sends, column by column.
        tensors: what preprocessing makes of it.
        targets: what is predicted. One column with categories, one text, or one or more ``numeric`` columns.
        vocabulary: of texts; null for other data.

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
    vocabulary: Vocabulary | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the only target, one a row, pixel or word; empty when the targets are numbers or texts."""
        if len(self.targets) == 1 and self.targets[0].kind in ("category", "mask", "tags"):
            return self.targets[0].categories
        return ()

    def facts(self) -> dict[str, Any]:
        """Values for constructor parameters marked `FromData`.

        Returns:
            ``in_features`` (numbers in one row), ``in_channels`` and ``image_size`` (height, width) for images,
            ``num_classes``: the width of the head, that is the number of labels, or of numeric targets;
            ``vocab_size``, ``pad_token_id``, ``head`` (see `HEADS`), ``max_length`` and, where the vocabulary has
            them, ``bos_token_id`` and ``eos_token_id`` for texts; ``signature``: this object.
        """
        facts: dict[str, Any] = {"signature": self, "num_classes": len(self.labels) or len(self.targets)}
        shape = self.tensors[0].shape if len(self.tensors) == 1 else ()
        sizes = [size for size in shape if size is not None]
        if shape and len(sizes) == len(shape):
            facts["in_features"] = _product(sizes)
        if len(shape) == 3:
            facts["in_channels"] = shape[0]
            facts["image_size"] = shape[1:]
        if self.vocabulary is not None:
            facts |= self._text_facts(self.vocabulary)
        return facts

    def _text_facts(self, vocabulary: Vocabulary) -> dict[str, Any]:
        facts: dict[str, Any] = {"vocab_size": vocabulary.size, "pad_token_id": vocabulary.pad}
        if self.targets[0].kind in HEADS:
            facts["head"] = HEADS[self.targets[0].kind]
        if self.tensors[0].longest is not None:
            facts["max_length"] = self.tensors[0].longest
        ids = {"bos_token_id": vocabulary.bos, "eos_token_id": vocabulary.eos}
        return facts | {name: id_ for name, id_ in ids.items() if id_ is not None}


def _product(sizes: list[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result
