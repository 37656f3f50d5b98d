"""The loader: order, resuming, prefetching."""

from __future__ import annotations

import gc
import itertools
import threading
import time

import numpy as np
import pytest
import torch
from torch import Tensor

import lamplighter.data
from lamplighter.core.errors import DataError
from lamplighter.core.seeding import generator
from lamplighter.data.loader import Loader
from lamplighter.data.rows import TensorRows
from lamplighter.data.token_rows import TokenRows
from lamplighter.data.tokenization.ragged import Ragged


class Slow:
    """Rows that are decoded when fetched, and that record who fetched what."""

    decodes = True

    def __init__(self, rows: int, fail_at: int | None = None) -> None:
        self.rows = rows
        self.fail_at = fail_at
        self.fetched: list[int] = []
        self.threads: set[str] = set()

    def __len__(self) -> int:
        return self.rows

    def fetch(self, indices: np.ndarray) -> dict[str, Tensor]:
        if self.fail_at is not None and self.fail_at in indices:
            raise DataError("row 7 broke")
        self.threads.add(threading.current_thread().name)
        self.fetched += indices.tolist()
        return {"x": torch.from_numpy(indices.copy())}


def numbers(rows: int = 23) -> TensorRows:
    return TensorRows({"x": torch.arange(rows)})


def epochs(loader: Loader, count: int) -> list[list[list[int]]]:
    return [[batch["x"].tolist() for batch in loader] for _ in range(count)]


def test_the_package_offers_it_lazily() -> None:
    assert lamplighter.data.Loader is Loader


def test_every_epoch_has_every_row_once_in_a_new_order() -> None:
    first, second = epochs(Loader(numbers(), 5, seed=1), 2)
    assert [len(batch) for batch in first] == [5, 5, 5, 5, 3]
    for epoch in (first, second):
        assert sorted(itertools.chain(*epoch)) == list(range(23))
    assert first != second
    assert first != [sorted(batch) for batch in first]


def test_order_is_a_function_of_seed_and_epoch_alone() -> None:
    reference = epochs(Loader(numbers(), 5, seed=1), 3)
    assert epochs(Loader(numbers(), 5, seed=1), 3) == reference
    assert epochs(Loader(numbers(), 5, seed=2), 1) != reference[:1]
    late = Loader(numbers(), 5, seed=1)
    late.load_state_dict({"epoch": 2, "batch": 0})
    assert epochs(late, 1) == reference[2:]
    # another batch size cuts the same order into other pieces
    assert list(itertools.chain(*epochs(Loader(numbers(), 4, seed=1), 1)[0])) == list(itertools.chain(*reference[0]))


def test_global_randomness_has_no_say() -> None:
    torch.manual_seed(0)
    first = epochs(Loader(numbers(), 5), 1)
    torch.manual_seed(1)
    np.random.default_rng()
    assert epochs(Loader(numbers(), 5), 1) == first


@pytest.mark.parametrize("drop_last", [False, True])
def test_length(drop_last: bool) -> None:
    for rows in (5, 20, 21, 24):
        loader = Loader(numbers(rows), 5, drop_last=drop_last)
        assert len(list(loader)) == len(loader) == (rows // 5 if drop_last else -(-rows // 5))


def test_without_shuffling_rows_keep_their_order() -> None:
    loader = Loader(numbers(7), 3, shuffle=False)
    assert epochs(loader, 2) == [[[0, 1, 2], [3, 4, 5], [6]]] * 2


@pytest.mark.parametrize("rows", [numbers(), Slow(23)], ids=["memory", "decoded"])
def test_resuming_at_any_batch_gives_the_same_rest(rows: TensorRows | Slow) -> None:
    reference = list(itertools.chain(*epochs(Loader(rows, 5, seed=3), 3)))
    for stop in range(13):
        loader = Loader(rows, 5, seed=3)
        stream = itertools.chain.from_iterable(iter(lambda: iter(loader), None))  # noqa: B023
        for _ in range(stop):
            next(stream)
        state = loader.state_dict()
        other = Loader(rows, 5, seed=3)
        other.load_state_dict(state)
        rest = list(itertools.chain(*epochs(other, 4)))
        assert rest[: len(reference) - stop] == reference[stop:]


def test_state_counts_batches_the_caller_has_not_those_fetched_ahead() -> None:
    rows = Slow(40)
    loader = Loader(rows, 4, prefetch=3)
    iterator = iter(loader)
    assert loader.state_dict() == {"epoch": 0, "batch": 0}
    next(iterator)
    next(iterator)
    deadline = time.monotonic() + 5
    while len(rows.fetched) < 16 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(rows.fetched) >= 16
    assert loader.state_dict() == {"epoch": 0, "batch": 2}


def test_the_state_after_the_last_batch_leads_to_the_next_epoch() -> None:
    loader = Loader(numbers(10), 5)
    iterator = iter(loader)
    next(iterator)
    next(iterator)
    assert loader.state_dict() == {"epoch": 0, "batch": 2}  # what belongs to the end of the epoch is still to come
    assert list(iterator) == []
    assert loader.state_dict() == {"epoch": 1, "batch": 0}


def test_a_loop_that_was_left_goes_on_where_it_stopped() -> None:
    reference = epochs(Loader(numbers(), 5, seed=3), 1)[0]
    loader = Loader(numbers(), 5, seed=3)
    seen = []
    for batch in loader:
        seen.append(batch["x"].tolist())
        if len(seen) == 2:
            break
    seen += [batch["x"].tolist() for batch in loader]
    assert seen == reference


def test_prefetch_is_chosen_by_the_rows() -> None:
    assert Loader(numbers(), 5).prefetch == 0
    assert Loader(Slow(5), 5).prefetch == 2
    assert Loader(Slow(5), 5, prefetch=0).prefetch == 0


def test_a_thread_fetches_decoded_rows_and_no_more_than_it_may() -> None:
    rows = Slow(100)
    iterator = iter(Loader(rows, 1, shuffle=False, prefetch=2))
    next(iterator)
    time.sleep(0.1)
    assert rows.fetched == [0, 1, 2]
    assert all(name.startswith("lamplighter-prefetch") for name in rows.threads)


def test_memory_rows_use_no_thread() -> None:
    before = set(threading.enumerate())  # threads of earlier tests may end meanwhile
    iterator = iter(Loader(numbers(), 5))
    next(iterator)
    assert set(threading.enumerate()) <= before


def test_an_exception_reaches_the_caller_at_its_own_batch() -> None:
    loader = Loader(Slow(10, fail_at=7), 2, shuffle=False)
    seen = []
    with pytest.raises(DataError, match="row 7 broke"):
        for batch in loader:
            seen.append(batch["x"].tolist())
    assert seen == [[0, 1], [2, 3], [4, 5]]
    assert loader.state_dict() == {"epoch": 0, "batch": 3}


@pytest.mark.parametrize("end", ["close", "collect", "exhaust", "fail"])
def test_the_thread_ends_with_its_iterator(end: str) -> None:
    def running() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("lamplighter-prefetch")]

    gc.collect()
    deadline = time.monotonic() + 5
    while running() and time.monotonic() < deadline:
        time.sleep(0.005)
    iterator = iter(Loader(Slow(10, fail_at=7 if end == "fail" else None), 2, shuffle=False))
    next(iterator)
    assert running()
    if end == "close":
        iterator.close()  # type: ignore[attr-defined]
    elif end == "exhaust":
        list(iterator)
    elif end == "fail":
        with pytest.raises(DataError):
            list(iterator)
    del iterator
    gc.collect()
    while running() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not running()


def test_closing_drops_what_was_planned_ahead() -> None:
    gate = threading.Event()

    class Gated(Slow):
        def fetch(self, indices: np.ndarray) -> dict[str, Tensor]:
            batch = super().fetch(indices)
            if 1 in indices:
                gate.wait(5)
            return batch

    rows = Gated(20)
    iterator = iter(Loader(rows, 1, shuffle=False, prefetch=8))
    next_batch = threading.Timer(0.2, gate.set)
    assert next(iterator)["x"].tolist() == [0]
    iterator.close()  # type: ignore[attr-defined]
    next_batch.start()
    next_batch.join()
    time.sleep(0.05)
    assert rows.fetched in ([0], [0, 1])


@pytest.mark.parametrize(
    "state", [{}, {"epoch": 0}, {"epoch": -1, "batch": 0}, {"epoch": 0, "batch": 6}, {"epoch": "1", "batch": 0}]
)
def test_states_that_do_not_fit_are_refused(state: dict[str, int]) -> None:
    with pytest.raises(DataError, match="does not fit 5 batches"):
        Loader(numbers(), 5).load_state_dict(state)


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(DataError, match="batch_size 0"):
        Loader(numbers(), 0)
    with pytest.raises(DataError, match="no rows"):
        Loader(numbers(0), 1)
    with pytest.raises(DataError, match="3 rows do not fill one batch of 4"):
        Loader(numbers(3), 4, drop_last=True)


def test_a_batch_from_memory_costs_little_more_than_its_gather() -> None:
    x = torch.zeros(60000, 784, dtype=torch.uint8)
    loader = Loader(TensorRows({"x": x}, np.arange(60000)), 256)
    order = torch.from_numpy(loader.order(0))

    def timed_loader() -> float:
        start = time.perf_counter()
        for _ in loader:
            pass
        return time.perf_counter() - start

    def timed_gather() -> float:
        start = time.perf_counter()
        for chunk in order.split(256):
            x.index_select(0, chunk)
        return time.perf_counter() - start

    pairs = [(timed_loader(), timed_gather()) for _ in range(7)]
    # per-item Python would be a hundred times slower; the wide bound is for busy machines
    assert min(ours for ours, _ in pairs) < 5 * min(bare for _, bare in pairs) + 0.01


def texts(rows: int = 230, bucket: int = 8) -> TokenRows:
    """Rows of 1 to 60 tokens, all of them the number of the row."""
    lengths = generator(0, "lengths").integers(1, 61, rows)
    ids = Ragged.of([np.full(length, row) for row, length in enumerate(lengths)])
    return TokenRows(ids, pad=-1, dense={"y": torch.arange(rows)}, bucket=bucket)


def filled(loader: Loader) -> float:
    """Share of the places of an epoch's batches that hold a token."""
    batches = list(loader)
    return sum(int(b["attention_mask"].sum()) for b in batches) / sum(b["attention_mask"].numel() for b in batches)


def test_buckets_hold_rows_of_similar_length_and_every_row_once() -> None:
    for epoch in epochs_of_texts(Loader(texts(), 10, seed=3), 2):
        assert sorted(itertools.chain(*epoch)) == list(range(230))
        assert [len(batch) for batch in epoch] == [10] * 23
    plain, bucketed = filled(Loader(texts(bucket=0), 10, seed=3)), filled(Loader(texts(), 10, seed=3))
    assert plain < 0.58 and bucketed > 0.85
    lengths = texts().lengths
    spread = [int(np.ptp(lengths[batch])) for batch in epochs_of_texts(Loader(texts(), 10, seed=3), 1)[0]]
    assert np.median(spread) < 12


def epochs_of_texts(loader: Loader, count: int) -> list[list[list[int]]]:
    return [[batch["y"].tolist() for batch in loader] for _ in range(count)]


def test_buckets_are_a_function_of_seed_and_epoch() -> None:
    first, second = epochs_of_texts(Loader(texts(), 10, seed=3), 2)
    assert first != second
    assert epochs_of_texts(Loader(texts(), 10, seed=3), 1)[0] == first
    assert epochs_of_texts(Loader(texts(), 10, seed=4), 1)[0] != first
    lengths = texts().lengths
    means = [lengths[batch].mean() for batch in epochs_of_texts(Loader(texts(bucket=64), 10, seed=3), 1)[0]]
    assert means != sorted(means) and sorted(map(sorted, first)) != sorted(map(sorted, second))


def test_buckets_resume_and_share() -> None:
    whole = epochs_of_texts(Loader(texts(), 10, seed=3), 1)[0]
    resumed = Loader(texts(), 10, seed=3)
    resumed.load_state_dict({"epoch": 0, "batch": 9})
    assert epochs_of_texts(resumed, 1)[0] == whole[9:]
    shares = [epochs_of_texts(Loader(texts(), 10, seed=3, rank=rank, world=2), 1)[0] for rank in range(2)]
    assert [sorted(a + b) for a, b in zip(*shares)] == [sorted(batch) for batch in whole]


def test_rows_that_fill_no_batch_come_last() -> None:
    epoch = epochs_of_texts(Loader(texts(237), 10, seed=3), 1)[0]
    assert [len(batch) for batch in epoch] == [10] * 23 + [7]
    assert sorted(itertools.chain(*epoch)) == list(range(237))
    tiny = epochs_of_texts(Loader(texts(7), 10, seed=3), 1)[0]
    assert [sorted(batch) for batch in tiny] == [list(range(7))]
    kept = Loader(texts(237), 10, seed=3, drop_last=True)
    assert len(kept) == 23 and sum(len(batch["y"]) for batch in kept) == 230


def test_without_shuffling_rows_stay_in_order() -> None:
    assert list(itertools.chain(*epochs_of_texts(Loader(texts(), 10, shuffle=False), 1)[0])) == list(range(230))
