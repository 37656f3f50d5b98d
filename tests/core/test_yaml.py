"""The careful YAML loader: 1.2 scalars, duplicates refused, line numbers kept, dump read back unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamplighter.core import yaml
from lamplighter.core.errors import RecipeError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("010", "010"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1e-3", 0.001),
        ("1.5E+3", 1500.0),
        (".5", 0.5),
        ("-7", -7),
        ("0", 0),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("'true'", "true"),
        ('"12"', "12"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    parsed = yaml.parse(f"key: {text}").data["key"]
    assert parsed == value
    assert type(parsed) is type(value)


def test_every_path_knows_its_line() -> None:
    document = yaml.parse("a: 1\nb:\n  c: [1, 2]\n  d:\n    - x\n    - y: 3\n", "f.yaml")
    assert document.where(("a",)) == "f.yaml:1"
    assert document.where(("b", "d", 1, "y")) == "f.yaml:6"
    assert document.where(("b", "d", 1, "missing")) == "f.yaml:6"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "f:2: the key 'a' stands here twice"),
        ("a: [1, 2", "f:1: not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']", "is not allowed here"),
        ("a: 1\n? [x, y]\n: 2", "f:2: a key must be a word"),
    ],
)
def test_what_is_refused_names_the_line(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match="f:") as caught:
        yaml.parse(text, "f")
    assert message in str(caught.value)


def test_missing_folder_and_encoding(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        yaml.load(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="this is a folder"):
        yaml.load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: caf\xe9")
    with pytest.raises(RecipeError, match="not UTF-8 at byte 6"):
        yaml.load(tmp_path / "latin.yaml")


def test_dump_is_read_back_unchanged() -> None:
    data = {
        "words": ["no", "010", "1e-3", "true", "", "null", "a: b", "- x", "ü", "#no comment", "2024-01-01", "1_0"],
        "numbers": [0, -1, 1e-5, 3e20, 1.0, 1.5e-7],
        "rest": [True, False, None, [], {}],
        "tuple": (1, 2),
    }
    assert yaml.parse(yaml.dump(data)).data == {**data, "tuple": [1, 2]}
