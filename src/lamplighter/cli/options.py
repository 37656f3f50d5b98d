"""Options that several verbs share, and small helpers for printing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file or the name of a built-in one.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key: train.epochs=3.")]
Import = Annotated[
    list[str] | None, typer.Option("--import", metavar="MODULE", help="Import a module that registers components.")
]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Run directory. Default: runs/<name>/<n>.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")]


def load_imports(modules: list[str] | None) -> None:
    """Carry out ``--import``; the current folder is importable, as with ``python -m``."""
    if not modules:
        return
    from lamplighter.core.registry import import_user_modules

    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    import_user_modules(modules)


def print_json(data: Any) -> None:
    """Indented JSON on stdout."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table for people; plain aligned text when the output is no terminal."""
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left", header_style="bold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def print_scores(title: str, scores: dict[str, Any]) -> None:
    """Scores with their intervals, one a line."""
    typer.echo(title)
    width = max((len(name) for name in scores), default=0)
    for name, score in scores.items():
        typer.echo(f"  {name:<{width}}  {score}")
