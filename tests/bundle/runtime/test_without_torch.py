"""Where torch cannot be imported, a bundle loads, predicts and goes through whole files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lamplighter.bundle.runtime import Bundle

BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

sys.meta_path.insert(0, Block())
"""
TRAINING = ("torch", "torchvision", "sklearn", "matplotlib", "onnx", "onnxscript", "safetensors")


def run(code: str, *arguments: object, blocked: tuple[str, ...] = TRAINING) -> subprocess.CompletedProcess[str]:
    program = f"BLOCKED = {blocked!r}\n{BLOCK}\n{code}"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


PREDICT = """
from pathlib import Path
from lamplighter import load_bundle
from lamplighter.bundle.runtime.files import predict_file
bundle = load_bundle(sys.argv[1])
assert bundle.reference.n
print(predict_file(bundle, Path(sys.argv[2]), Path(sys.argv[3]), progress=False))
assert not {"torch", "onnx"} & set(sys.modules)
"""


def test_images(digits_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((9, 12, 3), 200, np.uint8)).save(tmp_path / "in" / "a.jpg")
    done = run(PREDICT, digits_bundle.path, tmp_path / "in", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n"
    assert (tmp_path / "out.csv").read_text().startswith("file,label,confidence\na.jpg,")


def test_a_table_out_of_a_zip(trees_bundle: Bundle, trees_csv: Path, tmp_path: Path) -> None:
    packed = trees_bundle.zip(tmp_path / "trees.zip")
    done = run(PREDICT, packed, trees_csv, tmp_path / "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "120\n"


@pytest.mark.parametrize("package", ["onnxruntime", "PIL"])
def test_a_missing_package_names_the_pip_line(digits_bundle: Bundle, package: str) -> None:
    code = """
from lamplighter import LamplighterError, load_bundle
try:
    load_bundle(sys.argv[1])
except LamplighterError as error:
    print(type(error).__name__, error)
"""
    done = run(code, digits_bundle.path, blocked=(package,))
    assert done.stdout.startswith("MissingExtraError"), done.stderr
    assert f"'{package}'" in done.stdout
    assert "pip install 'lamplighter[serve]'" in done.stdout
