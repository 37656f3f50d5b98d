"""The server's own pages: the list of models and the API documentation. Plain HTML, readable offline."""

from __future__ import annotations

import json
from html import escape
from typing import Any
from urllib.parse import quote

from lamplighter.serving import examples
from lamplighter.serving.model import ServedModel

STYLE = """\
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); }
section { margin: 1.5rem 0; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .7rem; overflow: auto;
  font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 28rem;
  margin: .3rem 0 .8rem; }
.method { display: inline-block; min-width: 3.5rem; font-weight: 600; color: var(--now); }
.command { position: relative; }
.command button { position: absolute; top: .4rem; right: .4rem; cursor: pointer; border: 1px solid var(--line);
  border-radius: 4px; background: var(--paper); color: inherit; }
summary { cursor: pointer; padding: .25rem 0; }
"""

SCRIPT = """\
for (const button of document.querySelectorAll(".command button")) {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);  // no clipboard on plain http: select it instead
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
}
"""


def models_page(models: list[ServedModel]) -> str:
    """What is served here, with a link to each model's page."""
    rows = "".join(
        f"<tr><td>{_link(model)}</td><td>{escape(model.version)}</td><td>{escape(model.manifest.output.kind)}</td>"
        f"<td>{_scores(model)}</td></tr>"
        for model in models
    )
    table = f"<table><tr><th>Model</th><th>Version</th><th>Kind</th><th>Test scores</th></tr>{rows}</table>"
    return _page("Models", f"<section>{table}</section>")


def docs_page(document: dict[str, Any], models: list[ServedModel], url: str) -> str:
    """The API for a reader: commands to paste for each model, then every route.

    Args:
        document: the OpenAPI document.
        models: what is served.
        url: under which the reader sees this server.
    """
    body = "".join(
        f"<section><h2>{escape(model.name)} <small>version {escape(model.version)}</small></h2>"
        + "".join(f"<div>{escape(title)}</div>{_command(command)}" for title, command in examples.curls(model, url))
        + "</section>"
        for model in models
    )
    routes = "".join(
        _route(path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if isinstance(operation, dict)
    )
    schema = '<p>Machine-readable: <a href="/openapi.json">openapi.json</a></p>'
    return _page("API", f"{body}<section><h2>Routes</h2>{routes}{schema}</section>")


def _page(title: str, body: str) -> str:
    """A page in the dress of the monitor's."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)} · Lamplighter</title>"
        '<link rel="icon" href="/static/monitor/lamp.svg" type="image/svg+xml">'
        '<link rel="stylesheet" href="/static/monitor/monitor.css"><link rel="stylesheet" href="/static/server.css">'
        '</head><body><header class="top"><a class="brand" href="/">'
        '<img src="/static/monitor/lamp.svg" alt="" width="24" height="24">Lamplighter</a>'
        '<nav><a href="/docs">API</a><a href="/metrics">Metrics</a></nav></header>'
        f'<main><h1>{escape(title)}</h1>{body}</main><script src="/static/server.js"></script></body></html>'
    )


def _link(model: ServedModel) -> str:
    target = f"/models/{quote(model.name)}" if model.monitor is not None else f"/v1/models/{quote(model.name)}"
    return f'<a href="{target}">{escape(model.name)}</a>'


def _scores(model: ServedModel) -> str:
    scores = list(model.manifest.metrics.items())[:3]
    return escape(
        ", ".join(f"{name} {score.value:.4g} ({score.low:.4g} to {score.high:.4g})" for name, score in scores)
    )


def _command(command: str) -> str:
    return f'<div class="command"><pre><code>{escape(command)}</code></pre><button type="button">copy</button></div>'


def _route(path: str, method: str, operation: dict[str, Any]) -> str:
    request = operation.get("requestBody", {}).get("content", {})
    answer = operation.get("responses", {}).get("200", {}).get("content", {})
    parts = [f"<p>{escape(str(operation.get('description', '')))}</p>"]
    for title, content in (("Request", request), ("Answer", answer)):
        for media_type, described in content.items():
            text = json.dumps(described.get("schema", {}), indent=2, ensure_ascii=False)
            parts.append(f"<div>{title}: <code>{escape(media_type)}</code></div><pre><code>{escape(text)}</code></pre>")
    head = f'<span class="method">{method.upper()}</span> <code>{escape(path)}</code> '
    return f"<details><summary>{head}{escape(str(operation.get('summary', '')))}</summary>{''.join(parts)}</details>"
