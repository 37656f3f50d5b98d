"""Run by test_server.py in a process of its own: serve the small table bundle until a signal comes.

Arguments: port, seconds each batch takes, file to write when the monitor is closed.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from lamplighter.serving import server
from lamplighter.serving.app import create_app


def main(port: str, delay: str, closed: str) -> None:
    spec = importlib.util.spec_from_file_location("small", Path(__file__).with_name("conftest.py"))
    assert spec is not None and spec.loader is not None
    small = importlib.util.module_from_spec(spec)
    sys.modules["small"] = small
    spec.loader.exec_module(small)
    bundle = small.table_bundle()

    class Monitor(small.RememberingMonitor):
        def close(self) -> None:
            rows = self.snapshot()["predictions"]
            Path(closed).write_text(str(rows))

    def build(*_: object, **__: object) -> server.App:
        app = create_app([bundle], overrides=["serve.max_batch=4"], monitoring=False)
        app.models[0].monitor = Monitor()
        bundle.delay = float(delay)  # not while it warms up
        return app

    server.build = build
    server.serve([bundle], port=int(port), echo=lambda line: print(line, flush=True))
    print("returned", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
