"""The conditional random field against all its paths one by one, and against pytorch-crf."""

from __future__ import annotations

import itertools
import math
import warnings

import pytest
import torch
import torchcrf
from parity import LIMIT, noise, randomised, relative
from torch import Tensor

from lamplighter.core.errors import DataError
from lamplighter.nn.crf import CRF, allowed_transitions
from lamplighter.nn.masks import from_lengths

BIO = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
MASK = from_lengths(torch.tensor([4, 2, 1]), 4)


@torch.no_grad()
def score(crf: CRF, x: Tensor, path: tuple[int, ...]) -> float:
    """Of one path; -inf when the scheme forbids it."""
    if not crf.allowed_start[path[0]] or not crf.allowed_end[path[-1]]:
        return -math.inf
    if any(not crf.allowed[pair] for pair in itertools.pairwise(path)):
        return -math.inf
    total = crf.start_transitions[path[0]] + crf.end_transitions[path[-1]]
    total = total + sum(x[t, tag] for t, tag in enumerate(path))
    return float(total + sum(crf.transitions[pair] for pair in itertools.pairwise(path)))


def every_path(crf: CRF, x: Tensor) -> dict[tuple[int, ...], float]:
    paths = itertools.product(range(crf.num_tags), repeat=len(x))
    return {path: score(crf, x, path) for path in paths}


def logsumexp(values: list[float]) -> float:
    highest = max(values)
    return highest + math.log(math.fsum(math.exp(value - highest) for value in values))


@pytest.mark.parametrize("labels", [None, BIO], ids=["free", "bio"])
def test_equals_all_paths_one_by_one(labels: tuple[str, ...] | None) -> None:
    """Partition, likelihood, best path and marginals, for rows of three lengths."""
    crf: CRF = randomised(CRF(5, labels).double())  # type: ignore[assignment]
    x = 2 * noise(3, 4, 5)
    best, partition, marginals = crf.decode(x, MASK), crf.log_partition(x, MASK), crf.marginals(x, MASK)
    tags = torch.zeros(3, 4, dtype=torch.int64)
    expected_nll = []
    for row, length in enumerate((4, 2, 1)):
        paths = every_path(crf, x[row, :length])
        total = logsumexp(list(paths.values()))
        assert partition[row].item() == pytest.approx(total, rel=1e-12)
        likeliest = max(paths, key=lambda path: paths[path])
        assert best[row].tolist() == [*likeliest, *[0] * (4 - length)]
        possible = [path for path, value in paths.items() if value > -math.inf]
        tags[row, :length] = torch.tensor(possible[len(possible) // 3])
        expected_nll.append(total - paths[possible[len(possible) // 3]])
        for t, tag in itertools.product(range(length), range(5)):
            through = math.fsum(math.exp(value - total) for path, value in paths.items() if path[t] == tag)
            assert marginals[row, t, tag].item() == pytest.approx(through, abs=1e-12)
    nll = crf(x, tags, MASK)
    torch.testing.assert_close(nll, torch.tensor(expected_nll, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert not marginals[~MASK].any()


def test_the_number_of_81_paths() -> None:
    """3 tags, 4 positions: the loss by the recursion is the one over all 3^4 paths, in float32 too."""
    torch.manual_seed(0)
    crf, x, tags = CRF(3), torch.randn(1, 4, 3), torch.tensor([[0, 2, 1, 1]])
    paths = every_path(crf, x[0])
    assert len(paths) == 81
    expected = logsumexp(list(paths.values())) - paths[(0, 2, 1, 1)]
    assert crf(x, tags).item() == pytest.approx(expected, rel=1e-6)


def test_equals_pytorch_crf() -> None:
    """Strictly loaded; likelihoods, gradients of parameters and emissions, and best paths of padded rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = randomised(torchcrf.CRF(5, batch_first=True).double())
    ours = CRF(5).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    mask = from_lengths(torch.tensor([9, 3, 7, 1]), 9)
    tags = torch.randint(0, 5, (4, 9), generator=torch.Generator().manual_seed(3))
    inputs = [noise(4, 9, 5).requires_grad_(), noise(4, 9, 5).requires_grad_()]
    losses = ours(inputs[0], tags, mask), -theirs(inputs[1], tags, mask, reduction="none")
    assert relative(*losses) <= LIMIT
    for loss in losses:
        (loss * torch.linspace(1, 2, 4, dtype=loss.dtype)).sum().backward()
    assert inputs[0].grad is not None and inputs[1].grad is not None
    assert relative(inputs[0].grad, inputs[1].grad) <= LIMIT
    expected = dict(theirs.named_parameters())
    assert max(relative(p.grad, expected[n].grad) for n, p in ours.named_parameters()) <= LIMIT  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its masks are of an old kind
        paths = theirs.decode(inputs[1].detach(), mask)  # type: ignore[operator]
    assert [row[: len(path)] for row, path in zip(ours.decode(inputs[0], mask).tolist(), paths)] == paths


def test_what_stands_at_padding_has_no_effect() -> None:
    crf = randomised(CRF(5, BIO).double())
    x, tags = noise(3, 4, 5), torch.tensor([[0, 1, 2, 0], [3, 4, 0, 0], [0, 0, 0, 0]])
    other, marked = x.masked_fill(~MASK.unsqueeze(2), 50.0), tags.masked_fill(~MASK, -1)
    for found, expected in (
        (crf(other, marked, MASK), crf(x, tags, MASK)),
        (crf.decode(other, MASK), crf.decode(x, MASK)),  # type: ignore[operator]
        (crf.marginals(other, MASK), crf.marginals(x, MASK)),  # type: ignore[operator]
    ):
        assert torch.equal(found, expected)


def test_marginals_are_the_gradient_of_the_partition() -> None:
    crf: CRF = randomised(CRF(5, BIO).double())  # type: ignore[assignment]
    x = noise(3, 4, 5).requires_grad_()
    crf.log_partition(x, MASK).sum().backward()
    assert x.grad is not None
    assert relative(crf.marginals(x, MASK), x.grad) <= 1e-12


def test_bio_rules() -> None:
    start, end, allowed = allowed_transitions(BIO)
    assert start.tolist() == [True, True, False, True, False] and end.all()
    may = {(a, b) for a, b in itertools.product(BIO, BIO) if allowed[BIO.index(a), BIO.index(b)]}
    into_inside = {("B-PER", "I-PER"), ("I-PER", "I-PER"), ("B-LOC", "I-LOC"), ("I-LOC", "I-LOC")}
    assert {pair for pair in may if pair[1].startswith("I-")} == into_inside
    assert len(may) == 5 * 3 + 4


def test_iobes_rules() -> None:
    labels = ("O", "B-X", "I-X", "E-X", "S-X", "B-Y", "E-Y")
    start, end, allowed = allowed_transitions(labels)
    named = {label: [labels[k] for k in allowed[n].nonzero().flatten()] for n, label in enumerate(labels)}
    outside = ["O", "B-X", "S-X", "B-Y"]
    assert named == {
        "O": outside, "E-X": outside, "S-X": outside, "E-Y": outside,
        "B-X": ["I-X", "E-X"], "I-X": ["I-X", "E-X"], "B-Y": ["E-Y"],
    }  # fmt: skip
    assert [labels[k] for k in start.nonzero().flatten()] == outside
    assert [labels[k] for k in end.nonzero().flatten()] == ["O", "E-X", "S-X", "E-Y"]


def test_labels_of_no_scheme_allow_everything() -> None:
    for labels in (("NOUN", "VERB"), ("O", "I-X"), ("B-", "O")):
        assert all(part.all() for part in allowed_transitions(labels))


@pytest.mark.parametrize("seed", range(5))
def test_never_decodes_what_the_scheme_forbids(seed: int) -> None:
    x = 20 * noise(30, 12, 5, seed=seed).float()
    for row in CRF(5, BIO).decode(x).tolist():
        for before, after in itertools.pairwise(["O", *(BIO[tag] for tag in row)]):
            assert not after.startswith("I-") or before[1:] == after[1:], (before, after)


@pytest.mark.parametrize(
    ("tags", "complaint"),
    [
        ([[2, 0, 0]], "row 0 begins with 'I-PER'"),
        ([[0, 1, 4]], "row 0, position 2: 'I-LOC' follows 'B-PER'"),
        ([[0, 7, 0]], r"tag 7 \(row 0, position 1\)"),
    ],
)
def test_tags_that_cannot_be_are_refused(tags: list[list[int]], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        CRF(5, BIO)(torch.zeros(1, 3, 5), torch.tensor(tags))
    with pytest.raises(DataError, match="row 0 ends with 'B-X'"):
        CRF(3, ("O", "B-X", "E-X"))(torch.zeros(1, 2, 3), torch.tensor([[0, 1]]))


def test_shapes_that_do_not_fit_are_named() -> None:
    crf = CRF(3)
    for emissions, mask, complaint in (
        (torch.zeros(1, 4, 5), None, r"\(N, L, 3\)"),
        (torch.zeros(1, 0, 3), None, r"\(N, L, 3\)"),
        (torch.zeros(2, 4, 3), torch.ones(2, 3), "attention_mask is"),
        (torch.zeros(2, 4, 3), torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0]]), "row 1 begins with padding"),
    ):
        with pytest.raises(ValueError, match=complaint):
            crf.decode(emissions, mask)
    with pytest.raises(ValueError, match="2 labels do not fit"):
        CRF(3, ("O", "B-X"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite_over_long_texts(dtype: torch.dtype) -> None:
    """Sums over 2,000 positions leave the range of float16: they are computed in float32."""
    x = (100 * torch.randn(2, 2000, 5, generator=torch.Generator().manual_seed(0))).to(dtype).requires_grad_()
    crf = CRF(5, BIO).to(dtype)
    tags = crf.decode(x)
    loss = crf(x, tags)
    loss.sum().backward()
    assert loss.dtype == torch.float32 and torch.isfinite(loss).all() and (loss >= -1e-2).all()
    assert x.grad is not None and torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in crf.parameters() if p.grad is not None)


def test_learns_what_follows_what() -> None:
    """Tags that alternate, emissions that say nothing: only transitions can tell."""
    torch.manual_seed(0)
    crf, x = CRF(2), torch.zeros(8, 10, 2)
    tags = (torch.arange(10) + torch.arange(8)[:, None]) % 2
    optimizer = torch.optim.Adam(crf.parameters(), lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = crf(x, tags).mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1.0  # log 2 is left: either may come first
    path = crf.decode(x[:1])[0]
    assert (path[1:] != path[:-1]).all()
