"""``lamp doctor``: what this machine has and what is missing; with a recipe, what is wrong before it is trained."""

from __future__ import annotations

import os
import platform
import re
import shutil
from pathlib import Path
from typing import Annotated

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Import, Json, Quiet, Set
from lamplighter.core.errors import DataError, LamplighterError


def doctor(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="[RECIPE]", help="A recipe to examine before training. Default: the machine."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for doctor.html. Default: doctor-<name>.")
    ] = None,
    rates: Annotated[
        str | None, typer.Option("--rates", metavar="LR,LR,...", help="Learning rates to compare from one start.")
    ] = None,
    set: Set = None,
    json: Json = False,
    import_: Import = None,
    quiet: Quiet = False,
) -> None:
    """Check the installation, or, given a RECIPE, everything that can be known before training it.

    The machine: packages of each extra, processors, devices, data sets, disk. A recipe: leaks between splits, class
    balance, learning one batch by heart, gradients, dead units, the learning rate, whether what is learned holds for
    new rows, time and memory. Writes doctor.html; exit code 1 when something is wrong.
    """
    if recipe is not None:
        _examine(recipe, out, _rates(rates), set, json, import_, quiet)
        return
    if out is not None or rates is not None or set:
        raise LamplighterError("lamp doctor: --out, --rates and --set belong to a recipe; name one: lamp doctor RECIPE")
    _machine_report(json)


def _examine(
    recipe: str,
    out: Path | None,
    rates: list[float],
    set: list[str] | None,
    json: bool,
    import_: list[str] | None,
    quiet: bool,
) -> None:
    options.load_imports(import_)
    from lamplighter.checkup.examine import examine
    from lamplighter.checkup.page import write_page
    from lamplighter.core.recipe import Recipe

    loaded = Recipe.load(recipe, set=set)
    folder = out or Path(f"doctor-{loaded.name}")
    if folder.exists() and not folder.is_dir():
        raise LamplighterError(f"{folder}: this is a file; --out names a directory")
    checkup = examine(loaded, rates=rates, progress=not quiet)
    folder.mkdir(parents=True, exist_ok=True)
    write_page(folder / "doctor.html", checkup)
    if json:
        options.print_json(checkup.to_dict())
    else:
        width = max(len(check.name) for check in checkup.checks)
        for check in checkup.checks:
            word = {"ok": "ok", "look": "look at this", "wrong": "WRONG"}[check.level]
            typer.echo(f"{word:<12}  {check.name:<{width}}  {check.text}")
        typer.echo(f"Page: {folder / 'doctor.html'}")
    if not checkup.ok:
        raise typer.Exit(1)


def _rates(text: str | None) -> list[float]:
    """``0.1,0.01`` -> numbers."""
    if text is None:
        return []
    try:
        rates = [float(word) for word in text.split(",")]
    except ValueError:
        rates = []
    if not rates or not all(0 < rate < float("inf") for rate in rates):
        raise LamplighterError(f"--rates {text}: learning rates above 0 with a comma between, such as 0.1,0.01,0.001")
    return rates


def _machine_report(json: bool) -> None:
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
