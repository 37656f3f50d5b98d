"""Writes the tree of files, one line each from the module docstrings, into docs/architecture.md.

Run: python docs/tree.py
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
START, END = "<!-- tree: start -->", "<!-- tree: end -->"


def summary(path: Path) -> str:
    """First line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def tree() -> str:
    """The tree of ``src/lamplighter`` and of ``benchmarks`` as Markdown."""
    lines = ["```"]
    for top in (ROOT / "src" / "lamplighter", ROOT / "benchmarks"):
        lines.append(f"{top.relative_to(ROOT)}/")
        for path in sorted(top.rglob("*.py"), key=lambda p: (p.parent.parts, p.name)):
            depth = len(path.relative_to(top).parts) - 1
            if path.name == "__init__.py" and depth:
                lines.append(f"{'  ' * depth}{path.parent.name}/".ljust(34) + f" {summary(path)}".rstrip())
            else:
                lines.append(f"{'  ' * (depth + 1)}{path.name}".ljust(34) + f" {summary(path)}".rstrip())
    return "\n".join([*lines, "```"])


def page() -> str:
    """The page with the tree written anew."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    return f"{before}{START}\n{tree()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
