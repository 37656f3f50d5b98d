"""The live page of a model. It comes as a string; the server decides where it is mounted.

Routes the page expects, below the server's base path: ``/models/{name}/monitor.json`` (`Monitor.snapshot`), the files
of `STATIC` at ``/static/monitor/``, and `CONTENT_SECURITY_POLICY` as a header of the page.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from lamplighter.bundle.manifest import Manifest
from lamplighter.bundle.runtime import kinds
from lamplighter.core.recipe import Monitor as Settings
from lamplighter.monitor.histograms import plain

STATIC = Path(__file__).parent / "static"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)

_SAMPLES: dict[str, Any] = {"numeric": 1.5, "boolean": True, "date": "2024-01-31", "text": "some text", "array": [0.0]}


def page(manifest: Manifest, settings: Settings, base: str = "") -> str:
    """The live page of one model.

    Args:
        manifest: of its bundle.
        settings: the recipe's ``monitor`` section.
        base: path of the server without a slash at its end.
    """
    return _template("model.html").render(
        base=base,
        manifest=manifest,
        settings=settings,
        url=model_path(manifest.name, base),
        test=_headline(manifest),
        predict=_predict_example(manifest),
        feedback=_feedback_example(manifest),
    )


def model_path(name: str, base: str = "") -> str:
    """Path of a model's page."""
    return f"{base}/models/{quote(name, safe='')}"


def _headline(manifest: Manifest) -> dict[str, str] | None:
    """The one score of the test split to show."""
    metric, name, share = kinds.of(manifest.output).headline
    score = manifest.metrics.get(metric)
    if score is None:
        return None
    number = (lambda v: f"{v:.1%}") if share else plain
    return {
        "name": name,
        "value": number(score.value),
        "range": f"{number(score.low)} to {number(score.high)}",
        "n": f"{score.n:,}",
    }


def _predict_example(manifest: Manifest) -> str:
    """A command that makes one prediction; the script on the page puts the server's address in front of the path."""
    path = f"/v1/models/{quote(manifest.name, safe='')}/predict"
    inputs = manifest.signature.inputs
    if any(column.kind == "image" for column in inputs):
        return f"curl -X POST -H 'Content-Type: image/png' --data-binary @picture.png {path}"
    row = {c.name: c.categories[0] if c.categories else _SAMPLES.get(c.kind, "a") for c in inputs[:6]}
    return f"curl -X POST -H 'Content-Type: application/json' -d {_shell(json.dumps({'rows': [row]}))} {path}"


def _feedback_example(manifest: Manifest) -> str:
    """A command that sends one true label."""
    truth = {"id": "ID OF A PREDICTION", **kinds.of(manifest.output).truth_example()}
    return f"curl -X POST -H 'Content-Type: application/json' -d {_shell(json.dumps(truth))} /v1/feedback"


def _shell(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _template(name: str) -> jinja2.Template:
    return _environment().get_template(name)
