"""Reads and writes the files of a bundle, a folder or a .zip; nothing is used before its hash was checked."""

from __future__ import annotations

import hashlib
import json
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from pydantic import ValidationError

from lamplighter.bundle.manifest import FORMAT_VERSION, Manifest
from lamplighter.core import files
from lamplighter.core.errors import BundleError

MANIFEST = "manifest.json"
MODEL = "model.onnx"
REFERENCE = "reference.npz"
NEEDED = (MODEL, REFERENCE)
"""What the runtime reads, besides the assets of preprocessing; every other file is only checked."""
LIMIT_BYTES = 2 << 30
"""Size of one file at most, unpacked: protobuf, and so ONNX in one file, ends at 2 GiB."""
_MANIFEST_LIMIT = 64 << 20
_BLOCK = 1 << 20
_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, NotImplementedError)


class _Opener(Protocol):
    """Opens one file of a bundle for reading; ``None`` when there is no such file."""

    def __call__(self, name: str) -> IO[bytes] | None: ...


def read(path: Path) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest and the contents of the `NEEDED` files and of its assets, after every file's hash was found right.

    Contents come from memory, not from the disk a second time, so what is used is what was checked. Files that the
    manifest does not list are never read.

    Args:
        path: a folder or a .zip.

    Raises:
        BundleError: not a bundle, a newer format, a broken manifest, a missing or changed file.
    """
    if not path.exists():
        raise BundleError(f"{path}: no such bundle")
    try:
        with _opener(path) as opener:
            manifest = _read_manifest(path, opener)
            kept = {*NEEDED, *manifest.assets}
            contents = {
                name: _checked(path, opener, name, digest, name in kept) for name, digest in manifest.files.items()
            }
    except _BROKEN as error:
        raise BundleError(f"{path}: cannot be read: {error}") from None
    return manifest, {name: content for name, content in contents.items() if content is not None}


def write_zip(source: Path, target: Path) -> None:
    """Pack a bundle, checked on the way, into one file.

    Equal bundles give equal bytes: entries are in order and carry no time.

    Args:
        source: a bundle folder or .zip.
        target: the .zip to write; replaced when it exists.

    Raises:
        BundleError: the bundle is damaged, or the target's folder does not exist.
    """
    if not target.parent.is_dir():
        raise BundleError(f"{target}: the folder {target.parent} does not exist; make it first")
    manifest, _ = read(source)
    files.write_with(target, lambda temporary: _pack(source, manifest, temporary))


def _pack(source: Path, manifest: Manifest, target: Path) -> None:
    with _opener(source) as opener, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in [MANIFEST, *sorted(manifest.files)]:
            stream = opener(name)
            if stream is None:
                raise BundleError(f"{source}: the file '{name}' vanished while it was read")
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with stream, packed.open(entry, "w", force_zip64=True) as copy:
                while block := stream.read(_BLOCK):
                    copy.write(block)


@contextmanager
def _opener(path: Path) -> Iterator[_Opener]:
    if path.is_dir():
        yield lambda name: _open_file(path / name)
        return
    if not zipfile.is_zipfile(path):
        raise BundleError(f"{path}: not a bundle; give a bundle folder or its .zip")
    with zipfile.ZipFile(path) as packed:
        prefix = _prefix(packed.namelist())
        yield lambda name: _open_member(path, packed, prefix + name)


def _open_file(path: Path) -> IO[bytes] | None:
    if not path.is_file():
        return None
    if path.stat().st_size > LIMIT_BYTES:
        raise BundleError(f"{path}: larger than {LIMIT_BYTES:,} bytes")
    return path.open("rb")


def _open_member(path: Path, packed: zipfile.ZipFile, name: str) -> IO[bytes] | None:
    try:
        entry = packed.getinfo(name)
    except KeyError:
        return None
    if entry.file_size > LIMIT_BYTES:  # zipfile never yields more than the size an entry declares
        raise BundleError(f"{path}: '{name}' unpacks to more than {LIMIT_BYTES:,} bytes")
    return packed.open(entry)


def _prefix(names: list[str]) -> str:
    """Where the bundle starts within a .zip: at the top, or in the only folder that has a manifest."""
    if MANIFEST in names:
        return ""
    found = [name for name in names if PurePosixPath(name).name == MANIFEST and name.count("/") == 1]
    return found[0].removesuffix(MANIFEST) if len(found) == 1 else ""


def _read_manifest(path: Path, opener: _Opener) -> Manifest:
    stream = opener(MANIFEST)
    if stream is None:
        inner = path / "bundle"
        hint = f"; did you mean {inner}?" if (inner / MANIFEST).is_file() else ""
        raise BundleError(f"{path}: not a bundle, it has no {MANIFEST}{hint}")
    with stream:
        text = stream.read(_MANIFEST_LIMIT + 1)
    if len(text) > _MANIFEST_LIMIT:
        raise BundleError(f"{path}: {MANIFEST} is larger than {_MANIFEST_LIMIT:,} bytes")
    where = f"{path}: {MANIFEST}"
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} is not JSON: {error}") from None
    version = data.get("format_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise BundleError(
            f"{path}: bundle format {version} is newer than this lamplighter knows ({FORMAT_VERSION}); "
            "update: pip install -U lamplighter"
        )
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(f"{where}: {_first_problem(error)}") from None
    _check_names(where, manifest)
    return manifest


def _check_names(where: str, manifest: Manifest) -> None:
    odd = [name for name in manifest.files if name in ("", ".", "..", MANIFEST) or set(name) & set("/\\\0:")]
    if odd:
        raise BundleError(f"{where}: files: {odd[0]!r} is not a plain file name")
    absent = [name for name in (*NEEDED, *manifest.assets) if name not in manifest.files]
    if absent:
        raise BundleError(f"{where}: files: '{absent[0]}' is not listed")


def _checked(path: Path, opener: _Opener, name: str, expected: str, kept: bool) -> bytes | None:
    """Contents of a file that is to be kept, ``None`` for another one, once the hash is right."""
    stream = opener(name)
    if stream is None:
        raise BundleError(f"{path}: the file '{name}' is missing; export or copy the bundle again")
    digest = hashlib.sha256()
    blocks: list[bytes] = []
    with stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            if kept:
                blocks.append(block)
    if digest.hexdigest() != expected:
        raise BundleError(f"{path}: '{name}' was changed after the export (wrong sha256); export or copy it again")
    return b"".join(blocks) if kept else None


def _first_problem(error: ValidationError) -> str:
    problems = error.errors()
    first = problems[0]
    where = ".".join(map(str, first["loc"]))
    more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
    return f"{where}: {first['msg']}{more}" if where else f"{first['msg']}{more}"
