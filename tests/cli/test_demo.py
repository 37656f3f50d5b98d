"""The demo: alarm on the spoiled stream, none on the clean one, the dashboard alive in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

LOOK = Path(__file__).parent.parent / "browser" / "look.mjs"


def demo(folder: Path, *words: str) -> dict[str, Any]:
    """One demo in a process of its own; its summary."""
    done = subprocess.run(
        [sys.executable, "-m", "lamplighter", "demo", "--once", "--json", "--port", "0", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return summary


def test_demo_once(tmp_path: Path) -> None:
    summary = demo(tmp_path)
    assert set(summary) == {
        "test_accuracy",
        "parity_max_abs",
        "clean_alerts",
        "drift_alerts",
        "predictions_to_alert",
        "seconds",
    }
    assert summary["test_accuracy"] > 0.95
    assert summary["parity_max_abs"] < 1e-4
    assert summary["clean_alerts"] == 0
    assert summary["drift_alerts"] == 1
    assert 0 < summary["predictions_to_alert"] <= 400


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_twenty_seeds_of_the_clean_stream_alarm_at_most_twice(tmp_path: Path) -> None:
    summaries = [
        demo(tmp_path, "--seed", str(seed), "--rate", "400", "--out", str(tmp_path / f"run{seed}"))
        for seed in range(20)
    ]
    assert sum(summary["clean_alerts"] > 0 for summary in summaries) <= 2
    assert all(summary["drift_alerts"] == 1 for summary in summaries)


@pytest.fixture(scope="module")
def look() -> list[str]:
    """The command that opens a page in a real browser."""
    if os.environ.get("CI"):
        assert shutil.which("node"), "CI installs node"
        assert Path(os.environ.get("CHROMIUM", "/usr/bin/chromium")).exists(), "CI installs chromium"
    if not shutil.which("node") or not (LOOK.parent / "node_modules").is_dir():
        pytest.skip("needs node and `npm install --prefix tests/browser`")
    if not Path(os.environ.get("CHROMIUM", "/usr/bin/chromium")).exists():
        pytest.skip("needs Debian's package chromium")
    return ["node", str(LOOK)]


@pytest.mark.slow
def test_the_dashboard_lives_in_a_real_browser(tmp_path: Path, look: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "lamplighter", "demo", "--port", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = ""
        for line in process.stdout:
            url = url or next(iter(re.findall(r"http://[\d.:]+", line)), "")
            if "Serving on" in line:
                break
        assert url
        seen: dict[str, Any] = {}
        for scheme in ("light", "dark"):
            picture = tmp_path / f"{scheme}.png"
            done = subprocess.run([*look, url, str(picture), scheme], capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            seen = json.loads(done.stdout)
            assert seen["problems"] == []
            assert all(request.startswith(url) for request in seen["requests"])
            assert seen["bytes"] < 150_000
            assert seen["canvases"] >= 3
            assert "demo" in seen["first"]
            assert re.search("drift|differs", seen["first"], re.IGNORECASE)
            assert picture.stat().st_size > 20_000
        assert sum(request.endswith("monitor.json") for request in seen["requests"]) >= 2, "the page refreshes itself"
    finally:
        process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        code = process.poll()
        if code is None:
            process.kill()
        process.communicate()
    assert code == 0
