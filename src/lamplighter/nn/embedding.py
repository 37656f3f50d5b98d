"""Token embeddings: ids to vectors, with ids checked, vectors read from a text file, and a tied output layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lamplighter.core.errors import WeightsError


class Embedding(nn.Embedding):
    """``torch.nn.Embedding`` that says which id is outside the vocabulary, instead of an index error without numbers.

    Row i of ``weight`` is the vector of token i. The row of ``padding_idx`` starts at 0 and gets no gradient. Ids are
    not checked while a graph is exported or compiled.

    Args: those of ``torch.nn.Embedding``.

    Shapes:
        (N, L) of int64 -> (N, L, embedding_dim)

    Raises:
        ValueError: an id is negative or not smaller than ``num_embeddings``.

    >>> Embedding(3, 2, padding_idx=0)(torch.tensor([[0]]))
    tensor([[[0., 0.]]], grad_fn=<EmbeddingBackward0>)
    """

    def forward(self, input: Tensor) -> Tensor:
        # On a GPU, looking at the ids would make each step wait for the device; there the kernel itself asserts.
        if not torch.compiler.is_compiling() and input.device.type == "cpu" and input.numel():
            low, high = torch.aminmax(input)
            if low < 0 or high >= self.num_embeddings:
                wrong = int(low) if low < 0 else int(high)
                raise ValueError(
                    f"token id {wrong} is outside the vocabulary of Embedding({self.num_embeddings}, "
                    f"{self.embedding_dim}): input_ids must lie in 0..{self.num_embeddings - 1}"
                )
        return super().forward(input)


def tie(output: nn.Linear, embedding: nn.Embedding) -> None:
    """Let an output layer use the embedding's matrix as its weight, so both are one tensor and are trained as one.

    Press and Wolf 2017 ("Using the Output Embedding to Improve Language Models"); GPT-2 and BERT do so.

    Raises:
        ValueError: the layers are not of one shape.
    """
    if output.weight.shape != embedding.weight.shape:
        raise ValueError(
            f"cannot tie: the output layer's weight is {tuple(output.weight.shape)}, the embedding's "
            f"{tuple(embedding.weight.shape)} (vocabulary, width)"
        )
    output.weight = embedding.weight


@dataclass(frozen=True)
class VectorsReport:
    """What `load_vectors` found.

    Attributes:
        found: tokens of the vocabulary that the file has a vector for.
        missing: those it has none for; their vectors stay as they were.
    """

    found: tuple[str, ...]
    missing: tuple[str, ...]


def load_vectors(embedding: nn.Embedding, path: Path, vocabulary: Mapping[str, int]) -> VectorsReport:
    """Fill an embedding from a text file of word2vec or GloVe: a word and its numbers on each line.

    A first line of two integers (word2vec's count and width) is skipped. A word may itself hold spaces: the last
    ``embedding_dim`` fields are the numbers. The file is read line by line; only vectors of the vocabulary are kept.
    Of a word that stands twice the first is taken. The padding row stays 0.

    Args:
        embedding: whose rows are filled in place.
        path: a UTF-8 text file.
        vocabulary: token -> row.

    Raises:
        WeightsError: no such file, a line without ``embedding_dim`` finite numbers (named by its number), or not one
            word of the vocabulary in it; the embedding is unchanged then.
    """
    width = embedding.embedding_dim
    rows: dict[str, Tensor] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                fields = line.rstrip().split(" ")
                if number == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields) and width != 1:
                    _check_width(int(fields[1]), width, path)
                    continue
                word = " ".join(fields[:-width])
                if word in vocabulary and word not in rows:
                    rows[word] = _numbers(fields[-width:], path, number)
                elif len(fields) <= width and line.strip():
                    raise WeightsError(f"{path}, line {number}: a word and {width} numbers are expected; {line[:40]!r}")
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise WeightsError(f"{path}: is not UTF-8 text; save the vectors in the text format of word2vec") from None
    if not rows:
        raise WeightsError(f"{path}: has no vector for any of the {len(vocabulary)} tokens; are both of one language?")
    with torch.no_grad():
        for word, vector in rows.items():
            if vocabulary[word] != embedding.padding_idx:
                embedding.weight[vocabulary[word]] = vector.to(embedding.weight)
    missing = tuple(word for word in vocabulary if word not in rows)
    return VectorsReport(tuple(rows), missing)


def _numbers(fields: list[str], path: Path, number: int) -> Tensor:
    try:
        vector = torch.tensor([float(field) for field in fields], dtype=torch.float64)
    except ValueError:
        raise WeightsError(f"{path}, line {number}: not all of the last {len(fields)} fields are numbers") from None
    if not torch.isfinite(vector).all():
        raise WeightsError(f"{path}, line {number}: holds a number that is not finite")
    return vector


def _check_width(found: int, width: int, path: Path) -> None:
    if found != width:
        raise WeightsError(f"{path}: its vectors have {found} numbers, the embedding has {width}")
