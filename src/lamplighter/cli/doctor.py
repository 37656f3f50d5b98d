"""``lamp doctor``: what this machine has and what is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Json
from lamplighter.core.errors import DataError


def doctor(json: Json = False) -> None:
    """Check the installation: packages of each extra, processors, devices, data sets, disk."""
    report = {
        "python": platform.python_version(),
        "machine": _machine(),
        "extras": _extras(),
        "devices": _devices(),
        "data": _data(),
        "disk_free_gb": round(shutil.disk_usage(".").free / 1e9, 1),
    }
    if json:
        options.print_json(report)
        return
    typer.echo(f"Python {report['python']} on {report['machine']}, {report['disk_free_gb']} GB free here")
    for extra, packages in _extras().items():
        missing = [name for name, version in packages.items() if version is None]
        state = f"missing {', '.join(missing)}: pip install 'lamplighter[{extra}]'" if missing else "complete"
        typer.echo(f"Extra {extra}: {state}")
        for name, version in packages.items():
            if version:
                typer.echo(f"  {name} {version}")
    for line in [*_devices(), *_data()]:
        typer.echo(line)


def _machine() -> str:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()} with {usable} usable processors"


def _extras() -> dict[str, dict[str, str | None]]:
    """Extra -> package -> installed version or None, read from our own metadata."""
    import importlib.metadata

    found: dict[str, dict[str, str | None]] = {}
    for requirement in importlib.metadata.requires("lamplighter") or []:
        match = re.match(r"([A-Za-z0-9._-]+).*;\s*extra == ['\"](train|serve|data)['\"]", requirement)
        if match:
            found.setdefault(match[2], {})[match[1]] = _version(match[1])
    return found


def _version(package: str) -> str | None:
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> list[str]:
    try:
        import torch
    except ModuleNotFoundError:
        return ["Devices: torch is not installed; this machine can serve but not train"]
    lines = [f"Device cpu: {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"]
    lines += [f"Device cuda:{i}: {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        lines.append("Device mps: available")
    return lines


def _data() -> list[str]:
    try:
        from lamplighter.data.sources.fashion_mnist import find
    except ModuleNotFoundError:
        return []
    try:
        return [f"Data fashion-mnist: {find(download=False)}"]
    except DataError:
        return ["Data fashion-mnist: not here; it will be downloaded on first use"]
