"""README and CONTRIBUTING tell the truth: links lead somewhere, commands exist, code runs."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md"]


def blocks(page: str, language: str) -> list[str]:
    """Code blocks of a language, without the indentation they have inside lists."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL)
    return ["\n".join(line.removeprefix(indent) for line in body.splitlines()) + "\n" for indent, body in found]


@pytest.mark.parametrize("page", PAGES)
def test_local_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    from lamplighter.cli.app import app

    verbs = {command.name for command in [*app.registered_commands, *app.registered_groups]}
    named = set(re.findall(r"(?:^|`)lamp ([a-z]+)\b", text, re.MULTILINE))
    assert named <= verbs, named - verbs
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)\b", text, re.MULTILINE)) <= targets


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    from PIL import Image
    from sklearn.datasets import load_digits

    pixels = (load_digits().images[3] * 255 / 16).round().astype("uint8")
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    code, zoo = blocks("README.md", "python")
    code = code.replace('bundle.predict(["scan.png"])', 'print(bundle.predict(["scan.png"])[0]["label"])')
    assert "print(bundle.predict" in code
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "95% interval" in done.stdout
    assert done.stdout.splitlines()[-1] == "3"
    given = "import torch, torchvision\n"
    given += "state_dict, images = torchvision.models.resnet18().state_dict(), torch.zeros(1, 3, 64, 64)\n"
    shown = subprocess.run([sys.executable, "-c", given + zoo], capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0, shown.stderr
    assert "11,689,512" in shown.stdout


def test_the_five_minute_component_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = next(block for block in blocks("CONTRIBUTING.md", "python") if "class Tiny" in block)
    (tmp_path / "tiny_from_contributing.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    from lamplighter.core import registry

    monkeypatch.setattr(registry, "_USER", {})
    registry.register("model", "tiny")(importlib.import_module("tiny_from_contributing").Tiny)
    model = registry.build("model", "tiny", {"hidden": 4}, {"in_features": 6, "num_classes": 3})
    x = torch.randn(5, 2, 3)
    assert model(x).shape == (5, 3)
    assert torch.equal(model(x), model.head(model.forward_features(x)))
    assert registry.schema("model", "tiny").model_fields["hidden"].description == "width of the hidden layer."
