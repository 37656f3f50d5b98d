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
    effect = GaugeMetricFamily(
        "lamplighter_drift_effect",
        "How much a feature changed in the newest drift window; the most changed features only.",
        labels=(*_LABELS, "feature"),
    )
    score = GaugeMetricFamily(
        "lamplighter_realised_score",
        "Accuracy, or mean absolute error, over the newest labelled predictions.",
        labels=(*_LABELS, "metric"),
    )
    coverage = GaugeMetricFamily(
        "lamplighter_label_coverage", "Share of the predictions of that time whose label is known.", labels=_LABELS
    )
    for model in models:
        if model.monitor is None:
            continue
        labels = (model.name, model.version)
        totals = model.monitor.totals()
        dropped.add_metric(labels, totals["dropped"] + totals["failed"])
        waiting.add_metric(labels, totals["waiting"])
        try:
            found = model.monitor.gauges()
        except SQLAlchemyError:
            continue
        drift.add_metric(labels, float(found["firing"]))
        if found["p_value"] is not None:
            p_value.add_metric(labels, found["p_value"])
        for feature, size in found["features"].items():
            effect.add_metric((*labels, feature), size)
        if found["performance"] is not None:
            score.add_metric((*labels, found["performance"]["metric"]), found["performance"]["value"])
            coverage.add_metric(labels, found["performance"]["coverage"])
    yield from (dropped, waiting, drift, p_value, effect, score, coverage)
