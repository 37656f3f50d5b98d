"""Alerts to any receiver of Prometheus Alertmanager's webhook format, version 4."""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from lamplighter.monitor.alerts import Alert

NEVER = "0001-01-01T00:00:00Z"


class WebhookSink:
    """POSTs JSON as Alertmanager does, so that chat bridges and pagers made for it work unchanged.

    Args:
        url: an http or https address.
        timeout: seconds to wait for an answer.
        receiver: name of the receiver in the message.
        external_url: address of the dashboard, for links.
    """

    def __init__(
        self,
        url: Annotated[str, Field(pattern=r"^https?://\S+$")],
        timeout: Annotated[float, Field(gt=0, le=60)] = 5.0,
        receiver: str = "lamplighter",
        external_url: str = "",
    ) -> None:
        self.url, self.timeout, self.receiver, self.external_url = url, timeout, receiver, external_url

    def send(self, alert: Alert) -> None:
        """Deliver one alert.

        Raises:
            OSError: no connection, no answer in time, or a status of 400 and above.
            http.client.HTTPException: the answer is not HTTP.
        """
        request = urllib.request.Request(
            self.url,
            data=json.dumps(self.message(alert), allow_nan=False).encode(),
            headers={"Content-Type": "application/json", "User-Agent": "lamplighter"},
        )
        with urllib.request.urlopen(request, timeout=self.timeout) as response:
            response.read(1024)

    def message(self, alert: Alert) -> dict[str, Any]:
        """The body of the request."""
        labels = {"alertname": alert.name, "model": alert.model, "version": alert.version, "severity": "warning"}
        group = {"alertname": alert.name, "model": alert.model}
        annotations = {"summary": alert.summary, "description": "\n".join(alert.details.get("advice", []))}
        return {
            "version": "4",
            "groupKey": "{}:{" + ", ".join(f"{key}={json.dumps(value)}" for key, value in group.items()) + "}",
            "truncatedAlerts": 0,
            "status": alert.state,
            "receiver": self.receiver,
            "groupLabels": group,
            "commonLabels": labels,
            "commonAnnotations": annotations,
            "externalURL": self.external_url,
            "alerts": [
                {
                    "status": alert.state,
                    "labels": labels,
                    "annotations": annotations,
                    "startsAt": _stamp(alert.started),
                    "endsAt": NEVER if alert.ended is None else _stamp(alert.ended),
                    "generatorURL": self.external_url,
                    "fingerprint": alert.fingerprint,
                }
            ],
        }


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
