"""Embeddings: torch's numbers, ids that are checked, tying, vectors from text files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lamplighter.core.errors import WeightsError
from lamplighter.nn.embedding import Embedding, load_vectors, tie

WORDS = {"<pad>": 0, "the": 1, "new york": 2, "lamp": 3, "rare": 4}


def test_equals_torchs_with_gradients_and_a_padding_row_that_stays() -> None:
    theirs = nn.Embedding(5, 3, padding_idx=0).double()
    ours = Embedding(5, 3, padding_idx=0).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    ids = torch.tensor([[1, 2, 0], [4, 1, 0]])
    assert torch.equal(ours(ids), theirs(ids))
    for module in (ours, theirs):
        module(ids).square().sum().backward()
    assert torch.equal(ours.weight.grad, theirs.weight.grad)  # type: ignore[arg-type]
    assert not ours.weight[0].any() and not ours.weight.grad[0].any() and ours.weight.grad[1].any()  # type: ignore[index]


@pytest.mark.parametrize("wrong", [-1, 5, 30_000])
def test_an_id_outside_the_vocabulary_is_named(wrong: int) -> None:
    with pytest.raises(ValueError, match=rf"token id {wrong} is outside .*Embedding\(5, 3\): input_ids .* 0\.\.4"):
        Embedding(5, 3)(torch.tensor([[1, wrong]]))


def test_no_ids_are_no_error_and_a_graph_has_no_check() -> None:
    assert Embedding(5, 3)(torch.zeros(2, 0, dtype=torch.long)).shape == (2, 0, 3)
    length = torch.export.Dim("length", min=1)
    ids = torch.tensor([[1, 2, 3]])
    exported = torch.export.export(Embedding(5, 3), (ids,), dynamic_shapes=({1: length},))
    assert exported.module()(torch.tensor([[4, 1]])).shape == (1, 2, 3)


def test_tied_layers_are_one_tensor_trained_as_one() -> None:
    embedding, output = Embedding(5, 3), nn.Linear(3, 5, bias=False)
    tie(output, embedding)
    assert output.weight is embedding.weight
    output(embedding(torch.tensor([1]))).sum().backward()
    expected = embedding.weight.detach().sum(0) + 5 * 0
    grad = embedding.weight.grad
    assert grad is not None
    torch.testing.assert_close(grad[2], embedding.weight.detach()[1])  # by the output layer alone
    torch.testing.assert_close(grad[1], embedding.weight.detach()[1] + expected)  # by both
    with pytest.raises(ValueError, match=r"cannot tie: .*\(4, 3\).*\(5, 3\)"):
        tie(nn.Linear(3, 4), embedding)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("header", ["", "4 3\n"])
def test_vectors_of_both_formats(tmp_path: Path, header: str) -> None:
    embedding = Embedding(5, 3, padding_idx=0)
    before = embedding.weight.detach().clone()
    lines = "the 1 2 3\nnew york -1 0.5 1e-2\nlamp 7 8 9 \nlamp 0 0 0\nother 4 5 6\n<pad> 1 1 1\n"
    report = load_vectors(embedding, write(tmp_path / "v.txt", header + lines), WORDS)
    assert report.found == ("the", "new york", "lamp", "<pad>") and report.missing == ("rare",)
    torch.testing.assert_close(embedding.weight.detach()[1:4], torch.tensor([[1, 2, 3], [-1, 0.5, 0.01], [7, 8, 9.0]]))
    assert torch.equal(embedding.weight.detach()[4], before[4])
    assert not embedding.weight[0].any()
    assert embedding.weight.requires_grad


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("the 1 2\n", "line 1: a word and 3 numbers"),
        ("the 1 2 3\nlamp 1 x 3\n", "line 2: not all of the last 3"),
        ("the 1 nan 3\n", "line 1: holds a number that is not finite"),
        ("2 300\nthe 1 2 3\n", "its vectors have 300 numbers, the embedding has 3"),
        ("andere 1 2 3\n", "no vector for any of the 5 tokens"),
        ("", "no vector for any"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(tmp_path: Path, text: str, complaint: str) -> None:
    embedding = Embedding(5, 3)
    before = embedding.weight.detach().clone()
    with pytest.raises(WeightsError, match=complaint):
        load_vectors(embedding, write(tmp_path / "v.txt", text), WORDS)
    assert torch.equal(embedding.weight, before)


def test_binary_and_absent_files(tmp_path: Path) -> None:
    (tmp_path / "v.bin").write_bytes(b"3 3\nthe \xff\xfe\x00\x01")
    with pytest.raises(WeightsError, match="is not UTF-8 text"):
        load_vectors(Embedding(5, 3), tmp_path / "v.bin", WORDS)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_vectors(Embedding(5, 3), tmp_path / "no.txt", WORDS)
