"""``lamp recipes``: the built-in recipes."""

from __future__ import annotations

from lamplighter.cli import options
from lamplighter.cli.options import Json


def recipes(json: Json = False) -> None:
    """List the built-in recipes."""
    from lamplighter.core import yaml
    from lamplighter.core.recipe import builtin

    rows = []
    for name, path in builtin().items():
        data = yaml.load(path).data
        first = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        parts = [data[section]["name"] for section in ("data", "model", "task")]
        rows.append({"name": name, "about": first, "data": parts[0], "model": parts[1], "task": parts[2]})
    if json:
        options.print_json(rows)
    else:
        options.print_table(
            "Built-in recipes",
            ["name", "data", "model", "task", "about"],
            [[row[key] for key in ("name", "data", "model", "task", "about")] for row in rows],
        )
