"""``lamp demo``: the whole story on real scans of digits, told in the terminal."""

from __future__ import annotations

import io
import json as json_module
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lamplighter.cli.options import Host, Json, Out, Port

if TYPE_CHECKING:
    import numpy as np

    from lamplighter.bundle.runtime import Bundle
    from lamplighter.client.http import Client
    from lamplighter.serving.server import Server

RECIPE = ["data.split=[0.55, 0.15, 0.3]", "monitor.window=100"]
CLEAN = 300
DRIFTED_AT_MOST = 600
STEP = 20


def demo(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    out: Out = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the recipe and of the traffic.")] = 0,
    rate: Annotated[float, typer.Option("--rate", min=1, help="Requests a second; the default can be watched.")] = 50.0,
    once: Annotated[bool, typer.Option("--once", help="Exit after the summary instead of serving on.")] = False,
    json: Json = False,
) -> None:
    """Train on digits, serve, replay held-out scans as live traffic, then let the scanner go bad: the alarm fires."""
    started = time.perf_counter()
    say: Callable[[str], None] = (lambda text: typer.echo(text, err=True)) if json else typer.echo
    from lamplighter.core.recipe import Recipe
    from lamplighter.run import fit
    from lamplighter.serving import server

    server.check_port(host, port)
    say("1/4  Train on 8x8 scans of handwritten digits")
    run = fit(Recipe.load("digits", set=[*RECIPE, f"seed={seed}", "name=demo"]), out=out, progress=not json)
    say(f"     test accuracy {run.metrics['accuracy']}")
    say("2/4  Export and prove that the exported graph computes the same")
    bundle = run.export()
    say(f"     largest difference {bundle.manifest.parity.max_abs:.1e}, bundle {bundle.path}")
    with server.start(bundle, host=host, port=port) as running:
        say(f"3/4  Serve at {running.url} (open it in a browser: the dashboard is live)")
        summary = _traffic(run, bundle, running, seed, rate, say)
        summary["seconds"] = round(time.perf_counter() - started, 1)
        _summarise(summary, json, say)
        if not once:
            say(f"Serving on: dashboard {running.url}/  API {running.url}/docs  (Ctrl-C ends it)")
            _wait_for_the_end()


def _traffic(
    run: Any, bundle: Bundle, running: Server, seed: int, rate: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """Replay clean, then drifted scans; the numbers of the summary."""
    import numpy as np

    from lamplighter.client.http import Client
    from lamplighter.core.seeding import generator

    source = run.source()
    order = generator(seed, "demo traffic").permutation(len(source.splits.test))
    scans = source.raw("test", order)
    labels = [source.signature.labels[i] for i in source.split("test").fetch(order)["y"].tolist()]
    with Client(running.url, bundle.manifest.name) as client:
        sent = _send(client, scans[:CLEAN], labels[:CLEAN], "held-out scans, as they are", rate)
        clean_alerts = _alerts(running)
        say(f"     {sent} held-out scans sent: {clean_alerts} alerts")
        say("4/4  Now the scanner goes bad: paper slips (rotation) and the lamp ages (noise)")
        rng = generator(seed, "demo drift")
        positions = rng.permutation(np.resize(np.arange(len(scans)), DRIFTED_AT_MOST))
        spoiled = [_spoil(scans[i], rng) for i in positions]
        sent = _send(
            client,
            spoiled,
            [labels[i] for i in positions],
            "spoiled scans",
            rate,
            until=lambda count: count % STEP == 0 and _alerts(running) > clean_alerts,
        )
        alerts = _alerts(running) - clean_alerts
        alert = _snapshot(running)["alerts"][0] if alerts else None
    if alert:
        say(f"     ALERT after {sent} spoiled scans: {alert['summary']}")
    else:
        say(f"     no alert after {sent} spoiled scans")
    return {
        "test_accuracy": run.metrics["accuracy"].value,
        "parity_max_abs": bundle.manifest.parity.max_abs,
        "clean_alerts": clean_alerts,
        "drift_alerts": alerts,
        "predictions_to_alert": sent if alerts else None,
    }


def _send(
    client: Client,
    scans: list[np.ndarray],
    labels: list[str],
    what: str,
    rate: float,
    until: Callable[[int], bool] | None = None,
) -> int:
    """Send scans one by one as PNG uploads at a rate, and the true label of every second one; return how many."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task(f"     {what}", total=len(scans))
        begin = time.perf_counter()
        for count, (scan, label) in enumerate(zip(scans, labels, strict=True), start=1):
            answer = client.predict_image(_png(scan))
            if count % 2:
                client.feedback(answer["id"], label)
            progress.update(bar, completed=count)
            if until is not None and until(count):
                return count
            time.sleep(max(0.0, begin + count / rate - time.perf_counter()))
    return len(scans)


def _alerts(running: Server) -> int:
    """Alerts raised so far, after everything sent has been looked at."""
    monitor = running.app.models[0].monitor
    if monitor is not None:
        monitor.flush()
    return len(_snapshot(running)["alerts"])


def _snapshot(running: Server) -> dict[str, Any]:
    """What the live page shows."""
    monitor = running.app.models[0].monitor
    return monitor.snapshot() if monitor is not None else {"alerts": []}


def _png(scan: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(scan).save(file, "PNG")
    return file.getvalue()


def _spoil(scan: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate by 10 to 30 degrees and add Gaussian noise with a standard deviation of 25 of 255."""
    import numpy as np
    from PIL import Image

    turned = Image.fromarray(scan).rotate(rng.uniform(10, 30), resample=Image.Resampling.BILINEAR)
    return np.clip(np.asarray(turned) + rng.normal(0, 25, scan.shape), 0, 255).astype(np.uint8)


def _summarise(summary: dict[str, Any], json: bool, say: Callable[[str], None]) -> None:
    if json:
        typer.echo(json_module.dumps(summary))
        return
    say("")
    say(f"     test accuracy         {summary['test_accuracy']:.4f}")
    say(f"     parity, max abs       {summary['parity_max_abs']:.1e}")
    say(f"     alerts, clean stream  {summary['clean_alerts']}")
    say(f"     alerts, drifted       {summary['drift_alerts']}")
    say(f"     predictions to alert  {summary['predictions_to_alert']}")
    say(f"     seconds               {summary['seconds']}")


def _wait_for_the_end() -> None:
    """Until Ctrl-C or SIGTERM."""
    import signal
    import threading

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
