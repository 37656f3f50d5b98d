"""The live page: small, offline, safe with hostile names, and drawn by a real browser where there is one."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.bundle.manifest import Feature, Output
from lamplighter.bundle.runtime.reference import Reference
from lamplighter.core.recipe import Monitor as Settings
from lamplighter.monitor import dashboard
from lamplighter.monitor.service import Monitor

CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--enable-logging=stderr",
    "--dump-dom",
]
HOSTILE = "</script><script>window.broken=1</script><img src=x onerror=window.broken=1>\"'{{7*7}}"


def test_page_and_its_files_weigh_little_and_come_from_here(world: Any) -> None:
    html = dashboard.page(world.manifest, Settings(), base="/base")
    assets = re.findall(r'(?:src|href)="(/base/static/monitor/[^"]+)"', html)
    files = {dashboard.STATIC / asset.rsplit("/", 1)[1] for asset in assets}
    assert len(files) == 6 and all(file.is_file() for file in files)
    assert len(html) + sum(file.stat().st_size for file in files) < 150_000
    assert len(gzip.compress(html.encode() + b"".join(file.read_bytes() for file in files))) < 50_000
    own = [f.read_text() for f in files if f.name.startswith(("monitor", "draw", "lamp"))]
    for text in [html, *own]:
        addresses = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert addresses == set()
    assert (dashboard.STATIC / "uPlot-LICENSE").read_text().startswith("The MIT License")


def test_nothing_on_the_page_needs_an_inline_exception(world: Any) -> None:
    html = dashboard.page(world.manifest, Settings())
    assert not re.search(r"\sstyle=|\son\w+=|javascript:", html)
    assert all('src="' in tag for tag in re.findall(r"<script[^>]*>", html))
    assert "unsafe" not in dashboard.CONTENT_SECURITY_POLICY
    for script in ("draw.js", "monitor.js"):
        text = (dashboard.STATIC / script).read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)


def test_page_says_what_it_is_about(world: Any) -> None:
    html = dashboard.page(world.manifest, Settings(window=321, alpha=0.01))
    assert "<h1>digits" in html and "version 1" in html and "90.0%" in html and "86.0% to 93.0%, n = 360" in html
    assert "each window of 321 predictions" in html and "less than 1% of windows" in html
    assert "--data-binary @picture.png /v1/models/digits/predict" in html
    assert 'lang="en"' in html and "<title>digits" in html


def test_examples_fit_the_model(make_manifest: Callable[..., Any]) -> None:
    manifest = make_manifest((), Output(kind="regression", targets=("price",)), name="häuser & co")
    html = dashboard.page(manifest, Settings())
    assert "/models/h%C3%A4user%20%26%20co/monitor.json" in html
    assert "&#34;value&#34;: 1.5" in html
    several = dashboard.page(make_manifest((), Output(kind="regression", targets=("x", "y"))), Settings())
    assert "&#34;values&#34;: {&#34;x&#34;: 1.5, &#34;y&#34;: 1.5}" in several


def test_hostile_names_stay_text(make_manifest: Callable[..., Any]) -> None:
    output = Output(kind="classification", labels=(HOSTILE, "b"))
    manifest = make_manifest((), output, name=HOSTILE, version=HOSTILE)
    html = dashboard.page(manifest, Settings())
    assert "<script>window" not in html and "<img src=x" not in html and "{{7*7}}" in html
    assert html.count("<script") == 3


def _hostile_monitor(store: Any, make_manifest: Callable[..., Any]) -> Monitor:
    rng = np.random.default_rng(0)
    feature = Feature(name=HOSTILE, kind="numeric", origin="column")
    output = Output(kind="classification", labels=(HOSTILE, "b"))
    rows, scores = rng.normal(size=(300, 1)).astype(np.float32), rng.dirichlet([1, 1], 300).astype(np.float32)
    reference = Reference.build(rows, scores, [feature], output)
    monitor = Monitor(make_manifest((feature,), output, name=HOSTILE), reference, Settings(window=100), store)
    ids = [f"{HOSTILE}{i}" for i in range(300)]
    monitor.record(ids, rows + 2, scores, 0.003)
    monitor.feedback(ids[0], HOSTILE)
    assert monitor.flush()
    return monitor


class _Handler(BaseHTTPRequestHandler):
    monitor: Monitor

    def do_GET(self) -> None:
        if self.path.endswith("/monitor.json"):
            body, kind = json.dumps(self.monitor.snapshot(), allow_nan=False).encode(), "application/json"
        elif self.path.startswith("/static/monitor/"):
            file = dashboard.STATIC / self.path.rsplit("/", 1)[1]
            kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
            body, kind = file.read_bytes(), kinds[file.suffix]
        else:
            body, kind = self.monitor.page().encode(), "text/html"
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Security-Policy", dashboard.CONTENT_SECURITY_POLICY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_a_browser_draws_it_under_the_policy(store: Any, make_manifest: Callable[..., Any], tmp_path: Path) -> None:
    monitor = _hostile_monitor(store, make_manifest)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"monitor": monitor}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        # Chromium's virtual clock runs on while a busy machine is still answering: give it more until all is drawn.
        for budget in (6_000, 20_000, 60_000):
            done = subprocess.run(
                [
                    "chromium",
                    *CHROMIUM,
                    f"--virtual-time-budget={budget}",
                    f"--user-data-dir={tmp_path / str(budget)}",
                    f"http://127.0.0.1:{server.server_port}/",
                ],
                capture_output=True,
                text=True,
                timeout=120,
            )
            if done.stdout.count("<canvas") == 4:
                break
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        monitor.close()
    dom, noise = done.stdout, done.stderr
    assert "CONSOLE" not in noise, [line for line in noise.splitlines() if "CONSOLE" in line]
    assert dom.count("<canvas") == 4 and 'class="histogram"' in dom
    assert ">Data drift</p>" in dom and "Data drift since" in dom
    assert dom.count("<script") == 3 and '<img src="x"' not in dom and "onerror=" in dom


def test_snapshot_of_hostile_names_is_plain_json(store: Any, make_manifest: Callable[..., Any]) -> None:
    monitor = _hostile_monitor(store, make_manifest)
    snapshot = json.loads(json.dumps(monitor.snapshot(), allow_nan=False))
    monitor.close()
    assert snapshot["drift"]["latest"]["features"][0]["name"] == HOSTILE
    assert snapshot["mix"][0]["names"][0] == HOSTILE


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_numbers_and_times_on_the_page() -> None:
    checks = {
        "pIs(0)": "p < 10⁻¹⁵",
        "pIs(3e-44)": "p < 10⁻¹⁵",
        "pIs(2e-12)": "p = 2 × 10⁻¹²",
        "pIs(0.0312)": "p = 0.031",
        "small(11310.4)": "11,310",
        "moment(1700069402)": "Nov 15, 17:30:02",
        "moment(1700006402)": "Nov 15, 00:00:02",
        "clock(null, [1700069415], 0, 0, 15)": ["17:30:15"],
        "clock(null, [1700069400], 0, 0, 60)": ["17:30"],
        "clock(null, [1700006400], 0, 0, 86400)": ["Nov 15"],
        "labelSpace(null, 0, 0, 105, 440)": 76,
        "labelSpace(null, 0, 0, 200, 440)": 67,
        "labelSpace(null, 0, 0, 3600, 440)": 50,
        "timeRange([100], 5)": [85, 115],
        "timeRange([100, 130], 5)": [100, 130],
    }
    script = (dashboard.STATIC / "draw.js").read_text("utf-8")
    stub = "const matchMedia = () => ({ addEventListener() {} });"
    done = subprocess.run(
        ["node", "-e", f"{stub}\n{script}\nconsole.log(JSON.stringify([{','.join(checks)}]))"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TZ": "UTC", "LC_ALL": "en_US.UTF-8"},
    )
    assert dict(zip(checks, json.loads(done.stdout))) == checks
