"""Throughput of the server beside a plain FastAPI + torch service: same network, same requests, same answers.

    python benchmarks/serve_plain.py            # about two minutes, writes benchmarks/results/serve_plain.json
    python benchmarks/serve_plain.py --quick    # to see that it works; writes nothing unless --out is given

The network is the built-in `cnn` on 28 x 28 scans. The plain service is what one writes in an afternoon: a FastAPI
route with a pydantic body that runs the module in eager mode, each request by itself, one torch thread (with more,
requests in FastAPI's thread pool fight for the processors and it gets slower). Our server runs as shipped: batching,
prediction ids, metrics and monitoring to SQLite on. Each server has a process of its own, a third one holds the
clients: c connections, each sending its next request when the last one was answered. Every answer is compared with
what torch computed for that very image. Rounds are interleaved, so that a busy neighbour harms both alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
CONNECTIONS = (1, 8, 64)
TOLERANCE = 1e-3
"""Largest difference of a probability from torch's; answers of different images differ by far more."""


# The model both servers run


def make_model(folder: Path) -> None:
    """Train a little, export the bundle, save torch's weights, and the requests with their right answers."""
    import torch
    from PIL import Image
    from sklearn.datasets import load_digits

    from lamplighter.bundle.export import export_bundle
    from lamplighter.data.sources.image_folder import ImageFolder
    from lamplighter.metrics.score import Score
    from lamplighter.models.cnn import CNN
    from lamplighter.tasks.classification import Classification

    torch.set_num_threads(1)
    torch.manual_seed(0)
    ink, labels = load_digits(return_X_y=True)
    for index, (scan, label) in enumerate(zip(ink[:600].reshape(-1, 8, 8), labels)):
        target = folder / "scans" / str(label) / f"{index}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((scan * 15.9).astype(np.uint8)).resize((28, 28), Image.Resampling.BILINEAR).save(target)
    source = ImageFolder(str(folder / "scans"))
    task = Classification(CNN(in_channels=1, num_classes=10), source.signature, source.statistics()["x"])
    rows = source.split("train")
    optimizer = torch.optim.AdamW(task.parameters(), lr=3e-3)
    for step in range(30):
        batch = rows.fetch((np.arange(64) + 64 * step) % len(rows))
        for loss in task.step(batch):
            optimizer.zero_grad()
            loss.value.backward()
            optimizer.step()
    task.eval()
    scores = {"accuracy": Score(value=0.5, n=1, low=0.0, high=1.0)}  # nobody reads it: the model is a load, not a claim
    export_bundle(folder / "bundle", task=task, source=source, recipe={"name": "bench"}, scores=scores, version="1")
    module = task.export().module
    torch.save(module.state_dict(), folder / "weights.pt")
    images = source.raw("train", np.arange(256))
    pixels = np.stack([np.asarray(Image.open(image)) for image in images])
    with torch.no_grad():
        logits = module(torch.from_numpy(pixels)[:, None])[0]
    requests = {"rows": pixels.tolist(), "probabilities": torch.softmax(logits, 1).tolist()}
    requests["labels"] = list(source.signature.labels)
    requests["statistics"] = [list(map(float, part)) for part in source.statistics()["x"]]
    (folder / "requests.json").write_text(json.dumps(requests))


def run_plain(folder: Path, port: int) -> None:
    """The opponent."""
    import torch
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    from lamplighter.models.cnn import CNN
    from lamplighter.tasks.classification import Classification

    torch.set_num_threads(1)
    known = json.loads((folder / "requests.json").read_text())
    signature = _signature(folder)
    task = Classification(CNN(in_channels=1, num_classes=10), signature, tuple(known["statistics"]))
    module = task.export().module
    module.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    labels = known["labels"]

    class Request(BaseModel):
        rows: list[list[list[int]]]

    app = FastAPI()

    def predict(request: Request) -> dict[str, Any]:
        x = torch.tensor(request.rows, dtype=torch.uint8).unsqueeze(1)
        with torch.no_grad():
            probabilities = torch.softmax(module(x)[0], dim=1)
        predictions = []
        for row in probabilities.tolist():
            best = max(range(len(row)), key=row.__getitem__)
            predictions.append(
                {"label": labels[best], "confidence": row[best], "probabilities": dict(zip(labels, row))}
            )
        return {"predictions": predictions}

    predict.__annotations__["request"] = Request  # the class is local, so its name alone would not be found
    app.post("/predict")(predict)
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


def _signature(folder: Path) -> Any:
    from lamplighter.core.signature import Signature

    manifest = json.loads((folder / "bundle" / "manifest.json").read_text())
    return Signature.model_validate(manifest["signature"])


def run_ours(folder: Path, port: int) -> None:
    """Our server, as `lamp serve` starts it."""
    from lamplighter.serving.server import serve

    serve(folder / "bundle", port=port, store_url=f"sqlite:///{folder / f'monitor-{port}.sqlite'}", echo=None)


# The clients


def run_client(folder: Path, port: int, path: str, connections: int, seconds: float) -> None:
    """Closed loop for some seconds; prints one JSON object."""
    known = json.loads((folder / "requests.json").read_text())
    payloads = [_http(path, json.dumps({"rows": [row]}).encode()) for row in known["rows"]]
    result = asyncio.run(_load(port, payloads, np.array(known["probabilities"]), known["labels"], connections, seconds))
    print(json.dumps(result))


def _http(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _load(
    port: int, payloads: list[bytes], right: np.ndarray, labels: list[str], connections: int, seconds: float
) -> dict[str, Any]:
    latencies: list[float] = []
    wrong = 0
    begin = time.perf_counter()
    end = begin + seconds

    async def one(number: int) -> None:
        nonlocal wrong
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        index = number * 37
        while (sent := time.perf_counter()) < end:
            index = (index + 1) % len(payloads)
            writer.write(payloads[index])
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            body = await reader.readexactly(length)
            latencies.append(time.perf_counter() - sent)
            if not head.startswith(b"HTTP/1.1 200"):
                wrong += 1
                continue
            got = json.loads(body)["predictions"][0]["probabilities"]
            wrong += bool(np.abs(np.array([got[label] for label in labels]) - right[index]).max() > TOLERANCE)
        writer.close()

    await asyncio.gather(*(one(number) for number in range(connections)))
    return {"seconds": time.perf_counter() - begin, "wrong": wrong, "latencies": latencies}


# The comparison


class Running:
    """A server in a process of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        from lamplighter.serving.server import listen

        with listen("127.0.0.1", 0) as free:
            self.port = free.getsockname()[1]
        self.name = name
        self.path = "/predict" if name == "plain" else "/v1/models/bench/predict"
        self.process = subprocess.Popen([*_self(), "--role", name, "--folder", str(folder), "--port", str(self.port)])
        self.folder = folder
        self._wait()

    def _wait(self) -> None:
        import http.client

        for _ in range(600):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/openapi.json")
                connection.getresponse().read()
                return
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit(f"the {self.name} server ended with status {self.process.returncode}") from None
                time.sleep(0.1)
            finally:
                connection.close()
        raise SystemExit(f"the {self.name} server did not start within a minute")

    def cpu_seconds(self) -> float:
        """Processor time used so far, all threads (Linux)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def measure(self, connections: int, seconds: float) -> dict[str, Any]:
        """One round."""
        before = self.cpu_seconds()
        command = [*_self(), "--role", "client", "--folder", str(self.folder), "--port", str(self.port)]
        command += ["--path", self.path, "--connections", str(connections), "--seconds", str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60)
        result: dict[str, Any] = json.loads(done.stdout)
        result["cpu"] = self.cpu_seconds() - before
        return result

    def stop(self) -> None:
        """Ask it to end."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def compare(rounds: int, seconds: float) -> dict[str, Any]:
    """Both servers at every number of connections, rounds interleaved."""
    measured: dict[tuple[str, int], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_model(folder)
        servers = [Running("plain", folder), Running("ours", folder)]
        try:
            for server in servers:
                server.measure(8, min(1.0, seconds))  # warm
            for number in range(rounds):
                for connections in CONNECTIONS:
                    for server in servers if number % 2 == 0 else servers[::-1]:
                        result = server.measure(connections, seconds)
                        measured.setdefault((server.name, connections), []).append(result)
                        rate = len(result["latencies"]) / result["seconds"]
                        print(
                            f"round {number + 1}  {server.name:5}  c={connections:<3} {rate:8.0f} requests/s",
                            flush=True,
                        )
        finally:
            for server in servers:
                server.stop()
    return {
        "connections": {
            str(c): {
                "plain": (plain := _summary(measured["plain", c])),
                "lamplighter": (ours := _summary(measured["ours", c])),
                "ratio": round(ours["requests_per_second"] / plain["requests_per_second"], 2),
            }
            for c in CONNECTIONS
        }
    }


def _summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    latencies = np.concatenate([np.array(r["latencies"]) for r in rounds]) * 1000
    return {
        "requests_per_second": round(statistics.median(len(r["latencies"]) / r["seconds"] for r in rounds), 1),
        "p50_ms": round(float(np.percentile(latencies, 50)), 3),
        "p99_ms": round(float(np.percentile(latencies, 99)), 3),
        "server_cpu_ms_per_request": round(1000 * sum(r["cpu"] for r in rounds) / len(latencies), 4),
        "requests": len(latencies),
        "wrong": sum(r["wrong"] for r in rounds),
    }


def _hardware() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def _self() -> list[str]:
    return [sys.executable, str(Path(__file__).resolve())]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one round of one server")
    parser.add_argument("--out", type=Path, help="result file")
    parser.add_argument("--role", choices=["plain", "ours", "client"], help=argparse.SUPPRESS)
    for name, kind in (("folder", Path), ("port", int), ("path", str), ("connections", int)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role == "client":
        run_client(given.folder, given.port, given.path, given.connections, given.seconds)
    elif given.role:
        (run_plain if given.role == "plain" else run_ours)(given.folder, given.port)
    else:
        rounds, seconds = (1, 0.5) if given.quick else (given.rounds, given.seconds)
        result = compare(rounds, seconds)
        result |= {"rounds": rounds, "seconds_each": seconds, "hardware": _hardware()}
        result["command"] = shlex.join(["python", "benchmarks/serve_plain.py", *sys.argv[1:]])
        out = given.out or (None if given.quick else HERE / "results" / "serve_plain.json")
        print(json.dumps(result, indent=2))
        if any(side["wrong"] for c in result["connections"].values() for side in (c["plain"], c["lamplighter"])):
            raise SystemExit("some answers were wrong; the numbers mean nothing")
        if out is not None:
            from lamplighter.core import files

            out.parent.mkdir(parents=True, exist_ok=True)
            files.write_json(out, result)


if __name__ == "__main__":
    main()
