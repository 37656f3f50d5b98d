"""The folder of a search or a cross-validation: which one, and whether it may be used."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from lamplighter.core import files
from lamplighter.core.errors import InterruptedRunError, RunError
from lamplighter.core.recipe import Recipe
from lamplighter.train import run_folder

REQUEST = "request.yaml"
PLAN = "plan.json"


def open_folder(kind: str, recipe: Recipe, plan: dict[str, Any], out: Path | None, resume: bool) -> Path:
    """Make the folder, or go on in it.

    Args:
        kind: ``search`` or ``cv``; names the default folder, ``runs/<name>/<kind>-<n>``.
        recipe: what is trained; kept as ``request.yaml``.
        plan: further settings that a resume must not change; kept as ``plan.json``.
        out: the folder; None for the next free (with ``resume``: the newest) number.
        resume: go on in a folder that exists.

    Raises:
        RunError: the folder is in the way, or was made by another recipe or plan.
    """
    folder = out or _numbered(kind, recipe.name, resume)
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: this is a file; --out names a directory")
    if folder.is_dir() and any(folder.iterdir()):
        if not resume:
            raise RunError(f"{folder}: not empty; add --resume to go on, or choose another --out")
        _same(folder, recipe, plan)
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / PLAN, plan)
    recipe.save(folder / REQUEST)
    return folder


def settled(recipe: Recipe, done: Recipe) -> Recipe:
    """A recipe in which device, threads and precision are those that an earlier training decided on.

    Measuring them anew for each training would make trainings differ that should not.

    Args:
        recipe: about to be trained.
        done: the resolved recipe of a training before.
    """
    decided = {"precision": done.train.precision, "channels_last": done.train.channels_last}
    return recipe.with_(device=done.device, threads=done.threads, train=recipe.train.model_copy(update=decided))


def settled_by(recipe: Recipe, runs: list[Path]) -> Recipe:
    """`settled` by the first of some runs that has begun; the recipe itself when none has."""
    for run in runs:
        if (run / "recipe.yaml").is_file():
            return settled(recipe, Recipe.load(run / "recipe.yaml"))
    return recipe


def interrupted(error: InterruptedRunError, what: str, command: str, folder: Path) -> InterruptedRunError:
    """The same interruption, with the command that goes on with all of it.

    Args:
        error: of one training.
        what: ``trial 3 of 30``.
        command: ``lamp`` and its verb, with options that matter.
        folder: of the search or cross-validation.
    """
    path = shlex.quote(str(folder))
    return InterruptedRunError(
        f"stopped in {what}; what is done is kept; go on with: "
        f"{command.format(recipe=f'{path}/{REQUEST}')} --out {path} --resume",
        error.exit_code - 128,
    )


def _same(folder: Path, recipe: Recipe, plan: dict[str, Any]) -> None:
    if not (folder / REQUEST).is_file() or not (folder / PLAN).is_file():
        raise RunError(f"{folder}: not empty, and nothing to go on with; choose another --out")
    made, planned = Recipe.load(folder / REQUEST), json.loads((folder / PLAN).read_text(encoding="utf-8"))
    found = run_folder.differences(_without_limits(recipe), _without_limits(made))
    found += [f"{key}: {plan[key]}, it has {planned.get(key)}" for key in plan if plan[key] != planned.get(key)]
    if found:
        listed = "\n  ".join(found)
        raise RunError(f"{folder}: was made by another recipe; choose another --out. The differences:\n  {listed}")


def _without_limits(recipe: Recipe) -> Recipe:
    """A search may go on for longer than it was meant to."""
    if recipe.search is None:
        return recipe
    return recipe.with_(search=recipe.search.model_copy(update={"trials": 1, "timeout": None}))


def _numbered(kind: str, name: str, resume: bool) -> Path:
    parent = Path("runs") / name
    numbers = [
        int(entry.name.removeprefix(f"{kind}-"))
        for entry in (parent.iterdir() if parent.is_dir() else ())
        if entry.name.startswith(f"{kind}-") and entry.name.removeprefix(f"{kind}-").isdigit()
    ]
    if resume:
        if not numbers:
            raise RunError(f"{parent}: no {kind}-1 to go on with; leave --resume out, or say which with --out")
        return parent / f"{kind}-{max(numbers)}"
    number = max(numbers, default=0) + 1
    while True:
        try:
            (parent / f"{kind}-{number}").mkdir(parents=True)
        except FileExistsError:  # another one took it this moment
            number += 1
        else:
            return parent / f"{kind}-{number}"
