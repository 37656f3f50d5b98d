"""A careful YAML loader: what the eye reads is what the program gets.

PyYAML follows YAML 1.1, where ``no`` is False, ``010`` is 8 and ``1e-3`` is text; duplicate keys overwrite each other
silently. Here scalars follow the YAML 1.2 core schema, duplicates are refused, and every value knows its line.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from lamplighter.core.errors import RecipeError

Path_ = tuple[str | int, ...]
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")


class Document:
    """A parsed file.

    Attributes:
        data: plain dicts, lists, str, int, float, bool, None.
        lines: path of every key or item -> 1-based line.
        source: name to print in errors.
    """

    def __init__(self, data: Any, lines: dict[Path_, int], source: str) -> None:
        self.data = data
        self.lines = lines
        self.source = source

    def where(self, path: Path_) -> str:
        """``file:line`` of a path, or of its nearest ancestor that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        line = self.lines.get(path)
        return f"{self.source}:{line}" if line else self.source


def load(path: Path) -> Document:
    """Read a YAML file.

    Raises:
        RecipeError: missing file, not UTF-8, broken syntax, duplicate key, alias or tag.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError([f"{path}: no such file"]) from None
    except IsADirectoryError:
        raise RecipeError([f"{path}: this is a folder; give the recipe file in it"]) from None
    except UnicodeDecodeError as error:
        raise RecipeError([f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8"]) from None
    return parse(text, str(path))


def parse(text: str, source: str = "recipe") -> Document:
    """Parse YAML text.

    >>> parse("a: no\\nb: 010\\nc: 1e-3\\nd: [1, true, ~]").data
    {'a': 'no', 'b': '010', 'c': 0.001, 'd': [1, True, None]}
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError([f"{source}{line}: not valid YAML: {problem}"]) from None
    lines: dict[Path_, int] = {}
    problems: list[str] = []
    data = _construct(node, (), lines, problems, source) if node is not None else {}
    if problems:
        raise RecipeError(problems)
    return Document(data, lines, source)


def parse_value(text: str) -> Any:
    """One value as it would stand after a colon: for ``--set a.b=VALUE``."""
    return parse(f"value: {text}" if text.strip() else "value: ''", "--set").data["value"]


def dump(data: Any) -> str:
    """YAML that `parse` reads back unchanged."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120)


def _construct(node: yaml.Node, path: Path_, lines: dict[Path_, int], problems: list[str], source: str) -> Any:
    here = f"{source}:{node.start_mark.line + 1}"
    lines.setdefault(path, node.start_mark.line + 1)
    standard = node.tag.startswith("tag:yaml.org,2002:") and not node.tag.endswith(("binary", "python"))
    if not standard or "python/" in node.tag:
        problems.append(f"{here}: the tag '{node.tag}' is not allowed here")
        return None
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                problems.append(f"{source}:{key_node.start_mark.line + 1}: a key must be a word")
                continue
            key = str(key_node.value)
            if key in result:
                problems.append(f"{source}:{key_node.start_mark.line + 1}: the key '{key}' stands here twice")
                continue
            lines[(*path, key)] = key_node.start_mark.line + 1
            result[key] = _construct(value_node, (*path, key), lines, problems, source)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*path, i), lines, problems, source) for i, item in enumerate(node.value)]
    style = getattr(node, "style", None)
    return node.value if style in ("'", '"', "|", ">") else scalar(node.value)


def scalar(text: str) -> str | int | float | bool | None:
    """The meaning of an unquoted scalar in the YAML 1.2 core schema; a number with a leading zero stays text."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and not _LEADING_ZERO.match(text):
        return float(text)
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes every text that `scalar` would read as something else."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = scalar(text) == text and isinstance(scalar(text), str)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


def _represent_float(dumper: yaml.SafeDumper, number: float) -> yaml.ScalarNode:
    mantissa, e, exponent = repr(number).partition("e")
    return dumper.represent_scalar(
        "tag:yaml.org,2002:float", f"{mantissa}.0e{exponent}" if e and "." not in mantissa else repr(number)
    )


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(float, _represent_float)
_Dumper.add_representer(tuple, lambda dumper, value: dumper.represent_list(list(value)))
