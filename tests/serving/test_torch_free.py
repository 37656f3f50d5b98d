"""The server and the client import without torch: proven in a process where torch cannot be imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Block())
"""


@pytest.mark.parametrize(
    "statement",
    [
        "import lamplighter.serving.app, lamplighter.serving.server",
        "import lamplighter.client.http",
    ],
)
def test_imports_without_torch(statement: str) -> None:
    code = f"{BLOCK}{statement}\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_the_client_needs_the_standard_library_only() -> None:
    code = (
        "import sys\nfrom lamplighter.client import http\n"
        "third = {'numpy', 'pydantic', 'fastapi', 'uvicorn', 'orjson', 'requests', 'httpx'} & set(sys.modules)\n"
        "assert not third, third"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
