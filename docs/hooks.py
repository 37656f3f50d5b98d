"""Fills the generated parts of the pages when the site is built, so that they cannot fall behind the code.

A comment ``<!-- generate: topics -->`` in a page becomes what the function of that name returns.
"""

from __future__ import annotations

import re
from typing import Any

from lamplighter.core import registry
from lamplighter.topics import TOPICS


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls this for every page."""
    return re.sub(r"<!-- generate: (\w+) -->", lambda match: GENERATORS[match[1]](), markdown)


def topics() -> str:
    """The 48 topics, each with all its ideas."""
    landed = sum(topic.landed_ideas for topic in TOPICS)
    total = sum(len(topic.ideas) for topic in TOPICS)
    lines = [f"{landed} of {total} ideas point to code, a test or a lesson.", ""]
    for topic in TOPICS:
        lines += [f"## {topic.number}. {topic.title}", "", f"{topic.landed_ideas} of {len(topic.ideas)} ideas landed."]
        lines += ["", "| idea | where |", "|---|---|"]
        lines += [f"| {_cell(i.name)} | {f'`{i.where}`' if i.where else 'planned'} |" for i in topic.ideas]
        lines.append("")
    return "\n".join(lines)


def components() -> str:
    """Every built-in component with its parameters, defaults and their descriptions."""
    lines: list[str] = []
    for kind in registry.kinds():
        lines += [f"## {kind}", ""]
        for name in registry.names(kind):
            lines += [f"### {name}", "", _first_sentence(registry.get(kind, name).__doc__ or ""), ""]
            lines += _parameters(kind, name) if kind != "format" else []
    return "\n".join(lines)


def _parameters(kind: str, name: str) -> list[str]:
    fields = registry.schema(kind, name).model_fields
    if not fields:
        return []
    lines = ["| parameter | default | meaning |", "|---|---|---|"]
    for key, field in fields.items():
        default = "required" if field.is_required() else f"`{field.default!r}`"
        lines.append(f"| `{key}` | {_cell(default)} | {_cell(field.description or '')} |")
    return [*lines, ""]


def _first_sentence(docstring: str) -> str:
    paragraph = " ".join(docstring.strip().split("\n\n")[0].split())
    return paragraph.replace("``", "`")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("``", "`")


GENERATORS = {"topics": topics, "components": components}
