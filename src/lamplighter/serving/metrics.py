"""Prometheus metrics of one application: a registry of its own, children looked up once."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

import lamplighter

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = CONTENT_TYPE_LATEST
_LABELS = ("model", "version")
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """What ``/metrics`` shows."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "lamplighter_requests_total", "Prediction requests by HTTP status.", (*_LABELS, "status"), registry=registry
        )
        self._predictions = Counter(
            "lamplighter_predictions_total", "Rows answered with a prediction.", _LABELS, registry=registry
        )
        self._seconds = Histogram(
            "lamplighter_request_duration_seconds",
            "From a prediction request's headers to its answer.",
            _LABELS,
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch_rows = Histogram(
            "lamplighter_batch_rows", "Rows computed together.", _LABELS, buckets=_ROWS, registry=registry
        )
        self._batch_seconds = Histogram(
            "lamplighter_batch_duration_seconds",
            "Compute time of one batch.",
            _LABELS,
            buckets=_SECONDS,
            registry=registry,
        )
        self._queue = Gauge("lamplighter_queue_rows", "Rows admitted and not yet computed.", _LABELS, registry=registry)
        self._unknown = Counter(
            "lamplighter_unknown_model_requests_total", "Requests for a model that is not here.", registry=registry
        )
        build = Gauge("lamplighter_build_info", "Always 1.", ("version", "python"), registry=registry)
        build.labels(lamplighter.__version__, platform.python_version()).set(1)

    def model(self, name: str, version: str, waiting: Callable[[], float]) -> ModelMetrics:
        """The metrics of one model; ``waiting`` gives the length of its queue when asked."""
        self._queue.labels(name, version).set_function(waiting)
        return ModelMetrics(
            requests=lambda status: self._requests.labels(name, version, str(status)),
            predictions=self._predictions.labels(name, version),
            seconds=self._seconds.labels(name, version),
            batch_rows=self._batch_rows.labels(name, version),
            batch_seconds=self._batch_seconds.labels(name, version),
        )

    def unknown_model(self) -> None:
        """Count a request for a model that is not here. Its name came from outside and must not become a label."""
        self._unknown.inc()

    def watch(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """Add values that are read at each scrape."""
        self.registry.register(_Watched(collect))

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)


class ModelMetrics:
    """Counters of one model and version, without a look-up for each request."""

    def __init__(
        self,
        requests: Callable[[int], Counter],
        predictions: Counter,
        seconds: Histogram,
        batch_rows: Histogram,
        batch_seconds: Histogram,
    ) -> None:
        self._requests = requests
        self._by_status = {200: requests(200)}
        self._predictions = predictions
        self._seconds = seconds
        self._batch_rows = batch_rows
        self._batch_seconds = batch_seconds

    def answered(self, status: int, seconds: float, rows: int = 0) -> None:
        """One request got its answer (status 499: the client left before)."""
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._requests(status)
        counter.inc()
        self._seconds.observe(seconds)
        if rows:
            self._predictions.inc(rows)

    def computed(self, rows: int, seconds: float) -> None:
        """One batch went through the model."""
        self._batch_rows.observe(rows)
        self._batch_seconds.observe(seconds)


class _Watched(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()

    def describe(self) -> Iterable[Metric]:
        return []  # names are known at scrape time only; without this the registry would collect to learn them
