"""Rules of the house that no linter knows: one line for each file, tests that mirror, nothing executed or leaked."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "lamplighter"
FILES = sorted(SRC.rglob("*.py"))


def test_every_file_has_a_first_line() -> None:
    missing = [
        str(path.relative_to(SRC))
        for path in FILES
        if path.read_text(encoding="utf-8").strip()
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not missing, f"module docstring missing: {missing}"


def test_the_tree_in_the_architecture_page_is_fresh() -> None:
    spec = importlib.util.spec_from_file_location("tree", ROOT / "docs" / "tree.py")
    assert spec is not None
    assert spec.loader is not None
    tree = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tree)
    assert tree.PAGE.read_text(encoding="utf-8") == tree.page(), "run: python docs/tree.py"


def test_files_stay_readable() -> None:
    long = {str(path.relative_to(SRC)): n for path in FILES if (n := len(path.read_text().splitlines())) > 600}
    assert not long, f"move the walls: {long}"


def test_every_file_is_tested_at_the_mirrored_path() -> None:
    # Covered by suites with other names: command line verbs (test_cli.py), data tables of the topics, plain contracts.
    elsewhere = re.compile(r"^(cli/|topics|__main__|core/(catalog|errors|export_spec)|data/source\.py|tasks/base)")
    missing = []
    for path in FILES:
        relative = path.relative_to(SRC)
        if path.name == "__init__.py" or elsewhere.match(str(relative)):
            continue
        mirrored = ROOT / "tests" / relative.parent / f"test_{relative.name.removeprefix('_')}"
        folder = ROOT / "tests" / relative.parent
        mentioned = any(
            f"{'.'.join(relative.with_suffix('').parts)}" in text or f"import {relative.stem}" in text
            for text in (p.read_text(encoding="utf-8") for p in folder.glob("test_*.py"))
        )
        if not mirrored.exists() and not mentioned:
            missing.append(str(relative))
    assert not missing, f"no test names these files: {missing}"


@pytest.mark.parametrize(
    "word", ["pickle.load", "eval(", "exec(", "yaml.load(", "allow_pickle=True", "weights_only=False"]
)
def test_data_is_never_executed(word: str) -> None:
    pattern = re.compile(rf"(?<![\w.]){re.escape(word)}")
    found = [
        f"{path.relative_to(SRC)}: {line.strip()}"
        for path in FILES
        for line in path.read_text(encoding="utf-8").splitlines()
        if pattern.search(line)
        and "from lamplighter.core import yaml" not in path.read_text(encoding="utf-8")
        and path.name != "yaml.py"
    ]
    assert not found


def test_no_page_reaches_out() -> None:
    found = []
    for path in [*SRC.rglob("*.html"), *SRC.rglob("*.jinja*"), *SRC.rglob("*.j2"), *SRC.rglob("*.css")]:
        for match in re.finditer(r"""(?:src|href|url)\s*[=(]\s*["']?(https?:)?//""", path.read_text(encoding="utf-8")):
            found.append(f"{path.relative_to(SRC)}: {match[0]}")
    assert not found


def test_no_tracked_file_names_a_place_of_one_machine() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    home = str(ROOT.parent)
    if home in ("/", "/home", "/tmp", "/root"):
        pytest.skip("the checkout lies at the top of the file system: its parent is no name to look for")
    found = [
        name
        for name in tracked
        if (ROOT / name).suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".json", ""}
        and (ROOT / name).is_file()
        and f"{home}/" in (ROOT / name).read_text(encoding="utf-8", errors="ignore")
    ]
    assert not found
