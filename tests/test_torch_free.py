"""The starred floors work where torch cannot be imported at all.

import-linter cannot see lazy imports, so a subprocess blocks torch and imports every module of those floors.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lamplighter

SRC = Path(lamplighter.__file__).parent
STARRED = [
    "core",
    "metrics",
    "data/preprocessing",
    "data/tables",
    "data/tokenization",
    "bundle/runtime",
    "monitor",
    "serving",
    "client",
    "cli",
    "topics",
]
SINGLE = ["lamplighter", "lamplighter.bundle.manifest", "lamplighter.data.splits", "lamplighter.__main__"]
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "sklearn", "matplotlib"):
            raise ModuleNotFoundError(f"blocked: {name}", name=name)
sys.meta_path.insert(0, Block())
"""


def modules() -> list[str]:
    found = list(SINGLE)
    for floor in STARRED:
        for path in sorted((SRC / floor).rglob("*.py")):
            parts = path.relative_to(SRC.parent).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def run_blocked(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BLOCK + code], capture_output=True, text=True, timeout=120)


def test_every_starred_module_imports_without_torch() -> None:
    code = "import importlib\n" + "\n".join(f"importlib.import_module({name!r})" for name in modules())
    done = run_blocked(code)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_block_itself_works() -> None:
    done = run_blocked("import lamplighter.tasks.base")
    assert done.returncode != 0
    assert "blocked: torch" in done.stderr


@pytest.mark.parametrize("verb", ["recipes", "models", "topics", "schema", "doctor"])
def test_listing_verbs_need_no_torch(verb: str) -> None:
    done = run_blocked(f"from lamplighter.__main__ import main; main([{verb!r}])")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()


def test_training_without_torch_says_which_pip_line_helps() -> None:
    done = run_blocked("from lamplighter.__main__ import main; main(['train', 'digits'])")
    assert done.returncode == 2
    assert "pip install 'lamplighter[train]'" in done.stderr
    assert "Traceback" not in done.stderr
