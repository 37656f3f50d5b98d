"""The last hour of traffic in memory: counts, latency percentiles, and the newest predictions."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

WIDTH = 2  # seconds in one bucket
KEEP_SECONDS = 3600
POINTS = 150  # points of a curve at most
MIX = 1000  # newest predictions that make the mix shown as "now"
EDGES = np.logspace(-5, 2, 7 * 30 + 1)  # latency bins, 8% wide, 10 microseconds to 100 seconds


@dataclass
class _Bucket:
    n: int = 0
    bins: np.ndarray = field(default_factory=lambda: np.zeros(len(EDGES) + 1, dtype=np.int64))


class Traffic:
    """Buckets of two seconds. One thread adds, others read.

    Args:
        started: Unix time from which on the absence of predictions means no traffic.
    """

    def __init__(self, started: float) -> None:
        self.started = started
        self._buckets: dict[int, _Bucket] = {}
        self._newest: deque[np.ndarray] = deque(maxlen=MIX)
        self._lock = threading.Lock()

    def add(self, time: float, latency: float, rows: int, predicted: np.ndarray | None = None) -> None:
        """Count one request.

        Args:
            time: Unix time of the answer.
            latency: seconds.
            rows: predictions in it.
            predicted: (rows, columns) as from ``baseline.predictions``.
        """
        slot = int(np.searchsorted(EDGES, latency, side="right"))
        with self._lock:
            bucket = self._buckets.setdefault(int(time // WIDTH), _Bucket())
            bucket.n += rows
            bucket.bins[slot] += rows
            if predicted is not None:
                self._newest.extend(predicted[-MIX:])
            if len(self._buckets) > KEEP_SECONDS // WIDTH:
                del self._buckets[min(self._buckets)]

    def remember(self, predicted: np.ndarray) -> None:
        """Take predictions (rows, columns) into the mix without counting traffic."""
        with self._lock:
            self._newest.extend(predicted[-MIX:])

    def newest(self) -> np.ndarray:
        """(n, columns): the last predictions, n <= `MIX`."""
        with self._lock:
            return np.array(self._newest)

    def curves(self, now: float) -> dict[str, Any]:
        """Rate (predictions a second) and latency percentiles (seconds, within 4%) over time, oldest first.

        Empty buckets have rate 0 and latency None. The bucket that is still filling is left out.
        """
        with self._lock:
            first = min([*self._buckets, int(self.started // WIDTH)])
            end = int(now // WIDTH)
            first = max(first, end - KEEP_SECONDS // WIDTH)
            step = next(s for s in (1, 2, 5, 15, 30) if (end - first) / s <= POINTS or s == 30)
            first, end = first // step, end // step
            merged = {i: _Bucket() for i in range(first, end)}
            for number, bucket in self._buckets.items():
                if number // step in merged:
                    merged[number // step].n += bucket.n
                    merged[number // step].bins += bucket.bins
        width = WIDTH * step
        quantiles = [percentiles(bucket.bins) for bucket in merged.values()]
        return {
            "width": width,
            "time": [i * width for i in merged],
            "rate": [bucket.n / width for bucket in merged.values()],
            "p50": [q[0] for q in quantiles],
            "p95": [q[1] for q in quantiles],
            "p99": [q[2] for q in quantiles],
        }

    def recent(self, now: float, seconds: float) -> dict[str, Any]:
        """Rate and latency percentiles of the last ``seconds``."""
        start = int((now - seconds) // WIDTH)
        total = _Bucket()
        with self._lock:
            for number, bucket in self._buckets.items():
                if number >= start:
                    total.n += bucket.n
                    total.bins += bucket.bins
        p50, p95, p99 = percentiles(total.bins)
        covered = max(min(seconds, now - self.started), WIDTH)
        return {"seconds": seconds, "n": total.n, "rate": total.n / covered, "p50": p50, "p95": p95, "p99": p99}


def percentiles(bins: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """50th, 95th and 99th percentile of binned latencies: the geometric middle of the bin they fall into.

    >>> percentiles(np.zeros(len(EDGES) + 1, dtype=np.int64))
    (None, None, None)
    """
    total = int(bins.sum())
    if total == 0:
        return None, None, None
    reached = np.cumsum(bins)
    slots = [int(np.searchsorted(reached, q * total, side="left")) for q in (0.5, 0.95, 0.99)]
    bounded = np.concatenate([EDGES[:1], EDGES, EDGES[-1:]])
    p50, p95, p99 = (float(np.sqrt(bounded[slot] * bounded[slot + 1])) for slot in slots)
    return p50, p95, p99
