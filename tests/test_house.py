"""Rules of the house that no linter knows: one line for each file, tests that mirror, nothing executed or leaked."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
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


ELSEWHERE = {
    # No behaviour of their own, or covered by a suite of another name.
    "core/catalog.py": "core/test_registry.py",
    "core/errors.py": "cli/test_cli.py",
    "core/export_spec.py": "bundle/test_export.py",
    "core/recipe.py": "core/test_recipe.py",
    "bundle/runtime/kinds/base.py": "bundle/runtime/kinds/test_classification.py",
    "bundle/runtime/kinds/showing.py": "bundle/runtime/kinds/test_regression.py",
    "core/schema.py": "core/test_recipe.py",
    "data/source.py": "contract/test_source.py",
    "bundle/runtime/tagged_files.py": "test_text_service.py",
    "bundle/runtime/plain_texts.py": "test_language_service.py",
    "bundle/runtime/text_pairs.py": "test_language_service.py",
    "tasks/base.py": "tasks/test_classification.py",
    "evaluate/classified.py": "evaluate/test_report.py",
    "evaluate/examples.py": "evaluate/test_report.py",
    "evaluate/glossary.py": "evaluate/test_report.py",
    "evaluate/regressed.py": "evaluate/test_report.py",
    # Parts of the server, tested over HTTP as a client sees them.
    "serving/bodies.py": "serving/test_predict.py",
    "serving/drift_metrics.py": "serving/test_integration.py",
    "serving/examples.py": "serving/test_control.py",
    "serving/feedback.py": "serving/test_integration.py",
    "serving/metrics.py": "serving/test_control.py",
    "serving/model.py": "serving/test_predict.py",
    "serving/openapi.py": "serving/test_control.py",
    "serving/pages.py": "serving/test_control.py",
    "serving/responses.py": "serving/test_control.py",
    "__main__.py": "cli/test_cli.py",
    # `fit` from end to end, whose parts they are.
    "run/build.py": "test_run.py",
    "run/directory.py": "test_run.py",
    "run/fitting.py": "test_run.py",
    "run/judging.py": "test_run.py",
    "run/own.py": "test_own.py",
    "run/resolve.py": "test_run.py",
    "train/assembly.py": "train/test_trainer_settings.py",
    "train/distributed/group.py": "train/distributed/test_torchrun.py",
    "train/distributed/ddp.py": "train/distributed/test_strategies.py",
    "train/distributed/fsdp.py": "train/distributed/test_strategies.py",
    "train/distributed/sharded.py": "train/distributed/test_strategies.py",
    "train/distributed/strategy.py": "train/distributed/test_strategies.py",
    "train/finite.py": "train/test_trainer_settings.py",
    "train/nested.py": "train/test_checkpoint.py",
    "models/own.py": "test_own.py",
    "evaluate/comparison_page.py": "evaluate/test_runs.py",
}


def test_every_file_is_tested_at_the_mirrored_path() -> None:
    missing = []
    for path in FILES:
        relative = path.relative_to(SRC)
        if path.name == "__init__.py" or relative.parts[0] in ("cli", "topics"):
            continue
        name = f"test_{relative.name.removeprefix('_')}"
        mirrored = ROOT / "tests" / relative.parent / name
        named = re.compile(rf"(import .*\b{relative.stem}\b|{'.'.join(relative.with_suffix('').parts)}\b)")
        siblings = (ROOT / "tests" / relative.parent).glob("test_*.py")
        covered = ROOT / "tests" / ELSEWHERE.get(str(relative), "nowhere")
        if not (mirrored.exists() or covered.exists() or any(named.search(p.read_text("utf-8")) for p in siblings)):
            missing.append(str(relative))
    assert not missing, f"no test names these files: {missing}"


FORBIDDEN = {
    ("pickle", "load"),
    ("pickle", "loads"),
    ("joblib", "load"),
    ("yaml", "unsafe_load"),
    ("yaml", "full_load"),
    ("", "eval"),
    ("", "exec"),
    ("", "compile"),
    ("", "__import__"),
}


def _calls(path: Path) -> list[tuple[str, str, ast.Call]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.append(("", node.func.id, node))
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            found.append((node.func.value.id, node.func.attr, node))
    return found


def test_data_is_never_executed() -> None:
    found = []
    for path in FILES:
        for owner, name, call in _calls(path):
            keywords = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
            unpickles = keywords.get("allow_pickle") is True or keywords.get("weights_only") is False
            unsafe = (owner, name) == ("torch", "load") and keywords.get("weights_only") is not True
            if (owner, name) in FORBIDDEN or unpickles or unsafe:
                found.append(f"{path.relative_to(SRC)}:{call.lineno}: {owner}.{name}")
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


def test_continuous_integration_skips_nothing_for_want_of_a_package() -> None:
    if not os.environ.get("CI"):
        pytest.skip("a user's machine may lack these; the tests that need them say so")
    assert Path("/usr/share/datasets/fashion-mnist").is_dir(), "apt-get install dataset-fashion-mnist"
    assert list(Path("/usr/lib/postgresql").glob("*/bin/initdb")), "apt-get install postgresql"
    assert shutil.which("chromium"), "apt-get install chromium"
    assert shutil.which("node"), "apt-get install nodejs"
    assert (ROOT / "tests" / "browser" / "node_modules").is_dir(), "npm install --prefix tests/browser"
