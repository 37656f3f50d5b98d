"""``lamp models``: the architectures a recipe can name."""

from __future__ import annotations

from lamplighter.cli import options
from lamplighter.cli.options import Import, Json


def models(json: Json = False, import_: Import = None) -> None:
    """List the architectures and where each is written."""
    options.load_imports(import_)
    from lamplighter.core import registry
    from lamplighter.core.catalog import CATALOG

    rows = [[name, CATALOG["model"].get(name, "imported")] for name in registry.names("model")]
    if json:
        options.print_json([{"name": name, "where": where} for name, where in rows])
    else:
        options.print_table("Architectures", ["name", "where"], rows)
