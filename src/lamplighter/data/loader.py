"""Batches in an order that is a function of seed and epoch alone, so that training can stop and go on anywhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from lamplighter.core import seeding
from lamplighter.core.errors import DataError
from lamplighter.data.source import Batch, Rows


class Loader:
    """Serves a split batch by batch, epoch after epoch.

    ``for batch in loader`` yields what is left of the current epoch and then moves on to the next. A loop that was
    left early goes on where it stopped when it is entered again, and so does a new loader given the same arguments and
    `load_state_dict`. A batch counts from the moment the caller gets it; batches prepared ahead do not count.

    Rows of very different lengths (`lamplighter.data.token_rows.TokenRows`) are *bucketed*: each run of ``rows.bucket``
    batches of the shuffled order is sorted by length, so that a batch holds rows of similar length and little is filled
    up, and then the batches are shuffled. Every row comes once in an epoch; rows that fill no whole batch come last.

    Args:
        rows: one split.
        batch_size: rows of a batch; the last one of an epoch may be smaller.
        shuffle: a new order each epoch, drawn from (seed, epoch); otherwise the order of the rows.
        seed: the recipe's seed.
        drop_last: leave out a last batch that is not full.
        index: add ``index`` to each batch: the position within the split of each of its rows, int64 (N,).
        rank: number of this process among those that train together.
        world: how many they are. Each gets its share of every batch; ``batch_size`` counts the rows of all of them.
        prefetch: batches prepared ahead by a thread; ``None``: 2 for rows that are decoded when fetched, else 0 (a
            gather from memory is faster than handing it over).

    Attributes:
        epoch: the current epoch, from 0.
        batch: batches of it that were handed out.

    Raises:
        DataError: no rows, or not one full batch with ``drop_last``.

    >>> import torch
    >>> from lamplighter.data.rows import TensorRows
    >>> loader = Loader(TensorRows({"x": torch.arange(5)}), batch_size=2, shuffle=False)
    >>> [batch["x"].tolist() for batch in loader], loader.state_dict()
    ([[0, 1], [2, 3], [4]], {'epoch': 1, 'batch': 0})
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        prefetch: int | None = None,
        index: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size < 1:
            raise DataError(f"batch_size {batch_size}: must be at least 1")
        if len(rows) == 0:
            raise DataError("no rows to load")
        if drop_last and len(rows) < batch_size:
            raise DataError(f"{len(rows)} rows do not fill one batch of {batch_size}; use a smaller batch_size")
        if batch_size % world:
            raise DataError(f"batch_size {batch_size} cannot be shared among {world} processes; use a multiple of it")
        self.rows = rows
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.prefetch = (2 if getattr(rows, "decodes", False) else 0) if prefetch is None else prefetch
        self.index = index
        self.rank = rank
        self.world = world
        self.epoch = 0
        self.batch = 0

    def __len__(self) -> int:
        """Batches of one epoch."""
        full, rest = divmod(len(self.rows), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        chunks = self._remaining()
        for batch in _ahead(self._fetch, chunks, self.prefetch) if self.prefetch else map(self._fetch, chunks):
            self.batch += 1
            yield batch
        self.epoch += 1
        self.batch = 0

    def order(self, epoch: int) -> np.ndarray:
        """Positions of all rows in the order of an epoch."""
        if not self.shuffle:
            return np.arange(len(self.rows))
        shuffled = seeding.generator(self.seed, "shuffle", epoch).permutation(len(self.rows))
        bucket = getattr(self.rows, "bucket", 0)
        return self._bucketed(shuffled, bucket, epoch) if bucket > 1 else shuffled

    def _bucketed(self, shuffled: np.ndarray, bucket: int, epoch: int) -> np.ndarray:
        """Batches of rows of similar length, in random order; the rows that fill no batch last."""
        lengths: np.ndarray = self.rows.lengths  # type: ignore[attr-defined]
        whole = len(shuffled) // self.batch_size * self.batch_size
        run = bucket * self.batch_size
        runs = [shuffled[start : min(start + run, whole)] for start in range(0, whole, run)]
        alike = [rows[np.argsort(lengths[rows], kind="stable")] for rows in runs]
        batches = np.concatenate([*alike, shuffled[:0]]).reshape(-1, self.batch_size)
        mixed = seeding.generator(self.seed, "buckets", epoch).permutation(len(batches))
        return np.concatenate([batches[mixed].reshape(-1), shuffled[whole:]])

    def state_dict(self) -> dict[str, int]:
        """Where the caller is: the epoch, and how many of its batches were handed out."""
        return {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where `state_dict` was taken; costs nothing, no batch is replayed.

        Raises:
            DataError: the state does not fit these rows and this batch size.
        """
        epoch, batch = state.get("epoch"), state.get("batch")
        if not isinstance(epoch, int) or not isinstance(batch, int) or epoch < 0 or not 0 <= batch <= len(self):
            raise DataError(
                f"loader state {state} does not fit {len(self)} batches an epoch; resume with the data and the batch "
                "size it was saved with"
            )
        self.epoch = epoch
        self.batch = batch

    def _fetch(self, indices: np.ndarray) -> Batch:
        batch = self.rows.fetch(indices)
        return {**batch, "index": torch.from_numpy(indices)} if self.index else batch

    def _remaining(self) -> Iterator[np.ndarray]:
        order = self.order(self.epoch)
        starts = range(self.batch * self.batch_size, len(self) * self.batch_size, self.batch_size)
        return (self._share(order[start : start + self.batch_size]) for start in starts)

    def _share(self, chunk: np.ndarray) -> np.ndarray:
        """This process's rows of a batch. One without any takes the first, which it must not count."""
        if self.world == 1:
            return chunk
        own = np.array_split(chunk, self.world)[self.rank]
        return own if len(own) else chunk[:1]

    def rows_of(self, batch: int) -> tuple[int, int]:
        """Rows of a batch of the epoch (counting from 0) in all processes together, and in this one."""
        together = min(self.batch_size, len(self.rows) - batch * self.batch_size)
        full, rest = divmod(together, self.world)
        return together, full + (self.rank < rest)


def _ahead(fetch: Callable[[np.ndarray], Batch], chunks: Iterator[np.ndarray], depth: int) -> Iterator[Batch]:
    """Fetch with one thread, at most ``depth`` batches ahead; an exception reaches the caller at its own batch.

    The thread ends when the iterator is exhausted, closed or garbage collected.
    """
    worker = ThreadPoolExecutor(1, thread_name_prefix="lamplighter-prefetch")
    try:
        waiting: deque[Future[Batch]] = deque()
        for chunk in chunks:
            waiting.append(worker.submit(fetch, chunk))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        worker.shutdown(wait=False, cancel_futures=True)
