"""``lamp serve``: bundles in, predictions, metrics and a dashboard out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Host, Import, Port, Set


def serve(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Bundle folders or .zip files.")],
    host: Host = "127.0.0.1",
    port: Port = 8000,
    set: Set = None,
    import_: Import = None,
    no_monitor: Annotated[bool, typer.Option("--no-monitor", help="Keep no records, raise no alarms.")] = False,
) -> None:
    """Serve bundles over HTTP, with monitoring on. `--set serve.max_batch=64` overrides the bundle's recipe."""
    options.load_imports(import_)
    from lamplighter.serving.server import serve as serve_bundles

    serve_bundles(bundles, host=host, port=port, overrides=set or [], monitoring=not no_monitor, echo=typer.echo)
