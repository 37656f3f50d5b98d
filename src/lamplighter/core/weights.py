"""Files of weights: where they are, which belong together, and their SHA-256. Reads no tensor, imports no torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamplighter.core import files
from lamplighter.core.errors import WeightsError

_IN_FOLDER = (
    "model.safetensors",
    "model.safetensors.index.json",
    "weights.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_INDEX = ".index.json"


@dataclass(frozen=True)
class WeightFiles:
    """The files that hold one network's tensors.

    Attributes:
        shown: as the user calls it, for messages.
        paths: the tensors' files; several when sharded.
        index: of a sharded checkpoint: which tensor is in which file.
        run: the directory of the training run they come from, if they do.
    """

    shown: str
    paths: tuple[Path, ...]
    index: Path | None = None
    run: Path | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.all)

    @property
    def all(self) -> tuple[Path, ...]:
        """The tensors' files and the index."""
        return (*self.paths, self.index) if self.index else self.paths

    @property
    def config(self) -> dict[str, Any]:
        """``config.json`` beside them, as Hugging Face and timm write it; empty without."""
        path = self.paths[0].parent / "config.json"
        if self.run or not path.is_file():
            return {}
        found = _json(path)
        return found if isinstance(found, dict) else {}

    def sha256(self) -> str:
        """Of a single file its SHA-256; of several, the SHA-256 of their list as ``sha256sum`` prints it, by name."""
        if len(self.all) == 1:
            return files.sha256(self.all[0])
        lines = [f"{files.sha256(path)}  {path.name}\n" for path in sorted(self.all, key=lambda path: path.name)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def check(self, expected: str) -> None:
        """Compare with a recorded SHA-256.

        Raises:
            WeightsError: it is another one.
        """
        found = self.sha256()
        if found != expected.lower():
            raise WeightsError(
                f"{self.shown}: has sha256 {found}, expected {expected.lower()}; the file was changed or damaged: "
                "restore it, or record the new hash if the change was wanted"
            )


def find(path: Path, shown: str | None = None) -> WeightFiles:
    """What lies at a path.

    Args:
        path: a file (``.safetensors``, ``.pt``, ``.pth``, ``.bin``), the ``.index.json`` of a sharded checkpoint, a
            folder with such files as Hugging Face writes them, the directory of a finished run (its best weights), or
            a bundle.
        shown: what to call it in messages; by default the path.

    Raises:
        WeightsError: there is nothing, or an unfinished run, or a shard is missing.
    """
    shown = shown or str(path)
    if not path.exists():
        raise WeightsError(f"{shown}: no such file or folder")
    if path.is_dir():
        if (path / "recipe.yaml").is_file() or (path / "requested.yaml").is_file():
            return _of_run(path, shown)
        inside = [path / name for name in _IN_FOLDER if (path / name).is_file()]
        if not inside:
            raise WeightsError(f"{shown}: this folder holds none of {', '.join(_IN_FOLDER)}; name the file itself")
        path = inside[0]
    if path.name.endswith(_INDEX):
        return WeightFiles(shown, _shards(path), path)
    return WeightFiles(shown, (path,))


def _of_run(folder: Path, shown: str) -> WeightFiles:
    best = folder / "checkpoints" / "best" / "model.safetensors"
    if next(best.parent.glob("shard-*.safetensors"), None) is not None:
        raise WeightsError(
            f"{shown}: its weights are in shards that several processes wrote; put them together with "
            f"'lamp export {shown}' and name {shown}/bundle"
        )
    if not (folder / "scores.json").is_file() or not best.is_file():
        raise WeightsError(f"{shown}: this run has not finished, so none of its weights are known to be the best")
    return WeightFiles(shown, (best,), run=folder)


def _shards(index: Path) -> tuple[Path, ...]:
    found = _json(index)
    table = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table.values()):
        raise WeightsError(f"{index}: no index of a sharded checkpoint (it has no weight_map)")
    names = sorted(set(table.values()))
    strange = next((name for name in names if Path(name).name != name), None)
    if strange is not None:
        raise WeightsError(f"{index}: names the file '{strange}', which is not beside it; refused")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise WeightsError(f"{index}: {len(missing)} of {len(names)} files are missing, first '{missing[0]}'")
    return tuple(index.parent / name for name in names)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read as JSON: {error}") from None
