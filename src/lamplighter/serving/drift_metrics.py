"""What the monitors know, as Prometheus metrics read at each scrape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from lamplighter.serving.model import ServedModel

_LABELS = ("model", "version")


def families(models: Iterable[ServedModel]) -> Iterator[Metric]:
    """Metric families of all monitored models. A store that does not answer leaves its gauges out, not the scrape."""
    dropped = CounterMetricFamily(
        "lamplighter_monitor_dropped_records", "Predictions the monitor could not keep.", labels=_LABELS
    )
    waiting = GaugeMetricFamily(
        "lamplighter_monitor_waiting_records", "Predictions not yet in the monitor's store.", labels=_LABELS
    )
    drift = GaugeMetricFamily("lamplighter_drift", "1 while an alert of the model is firing.", labels=_LABELS)
    p_value = GaugeMetricFamily(
        "lamplighter_drift_p_value", "Corrected p-value of the newest drift window.", labels=_LABELS
    )
    for model in models:
        if model.monitor is None:
            continue
        labels = (model.name, model.version)
        totals = model.monitor.totals()
        dropped.add_metric(labels, totals["dropped"] + totals["failed"])
        waiting.add_metric(labels, totals["waiting"])
        store = model.monitor.store
        try:
            alerts = store.latest_alerts(model.name, limit=20)
            windows = store.latest_windows(model.name, model.version, limit=1)
        except SQLAlchemyError:
            continue
        firing = any(alert["state"] == "firing" and alert["version"] == model.version for alert in alerts)
        drift.add_metric(labels, float(firing))
        if windows:
            p_value.add_metric(labels, windows[0]["p_value"])
    yield from (dropped, waiting, drift, p_value)
