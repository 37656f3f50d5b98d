"""The directory of a run: which one, whether it may be used, and whether it belongs to this recipe."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lamplighter.core.errors import RunError
from lamplighter.core.recipe import Recipe
from lamplighter.train.metrics_log import MetricsLog

REQUESTED = "requested.yaml"
"""The recipe as it was asked for; ``recipe.yaml`` beside it has every decision written out."""


_PARTS = re.compile(
    r"recipe\.yaml|requested\.yaml|metrics\.jsonl|split\.npz|checkpoints|scores\.json|report\.html|bundle"
    r"|lr_finder\.(json|svg)"
    r"|bundle\.monitor\.sqlite(-wal|-shm)?|\..*\.(tmp|old)"
)
"""Names of what a run, its export and its monitor write."""


def open_folder(recipe: Recipe, out: Path | None, resume: bool, force: bool) -> tuple[Path, Recipe | None]:
    """Make or find the directory of a run.

    Args:
        recipe: what is to be trained.
        out: the directory, or None for the next free (with ``resume``: the newest) number under ``runs/<name>``.
        resume: go on in a directory that exists; starts over when nothing was saved in it yet.
        force: replace a run. What was there is moved aside, and comes back unless the new training begins.

    Returns:
        The directory, and the resolved recipe to go on with (None: start from the beginning).

    Raises:
        RunError: the directory is in the way, is no run, or was made by another recipe.
    """
    if resume and force:
        raise RunError("--resume goes on and --force starts over; give one of them")
    if out is None:
        out = _newest(recipe.name) if resume else _next_free(recipe.name)
    if out.exists() and not out.is_dir():
        raise RunError(f"{out}: this is a file; --out names a directory")
    resolved = None
    if out.is_dir() and any(out.iterdir()):
        resolved = _reuse(recipe, out, resume, force)
    out.mkdir(parents=True, exist_ok=True)
    if resolved is None:
        recipe.save(out / REQUESTED)
    return out, resolved


@contextmanager
def withdrawn_unless_begun(folder: Path) -> Iterator[None]:
    """Leave no trace in ``folder`` when training cannot begin, for instance because the data is broken.

    It has begun when the resolved recipe is written. A run that was to be replaced stands there again.
    """
    try:
        yield
    except BaseException:
        if not (folder / "recipe.yaml").is_file():
            for name in (REQUESTED, "metrics.jsonl", "split.npz", "lr_finder.json", "lr_finder.svg"):
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # something else is in it
                folder.rmdir()
            if _aside(folder).is_dir() and not folder.exists():
                _aside(folder).rename(folder)
        raise


def discard_replaced(folder: Path) -> None:
    """Training has begun: remove the run that ``--force`` moved aside."""
    if _aside(folder).is_dir():
        shutil.rmtree(_aside(folder))


def extend(folder: Path, resolved: Recipe | None, epochs: int) -> None:
    """Let a finished run go on: more epochs in its recipe, and a schedule that starts over where it ended.

    Raises:
        RunError: the run is not finished.
    """
    log = MetricsLog(folder / "metrics.jsonl")
    done = [record for record in log.read() if record["event"] == "epoch"]
    ended = any(record["event"] == "finished" for record in log.read())
    if resolved is None or not done or not ended:
        raise RunError(f"{folder}: is not finished; first go on with: {resume_command(folder)}")
    stops = [record["reason"] for record in log.read() if record["event"] == "stop"]
    if stops and stops[-1].startswith("train.max_"):
        raise RunError(
            f"{folder}: ended by {stops[-1]}; no epoch can begin under that limit, train anew with a larger one"
        )
    at = int(done[-1]["epoch"])
    train = resolved.train.model_copy(update={"epochs": at + epochs, "restarts": (*resolved.train.restarts, at)})
    resolved.with_(train=train).save(folder / "recipe.yaml")
    log.append({"event": "extended", "epoch": at, "step": done[-1]["step"], "epochs": epochs})


def resume_command(folder: Path) -> str:
    """What to type to go on with a run."""
    path = shlex.quote(str(folder))
    return f"lamp train {path}/recipe.yaml --out {path} --resume"


def differences(asked: Recipe, made: Recipe) -> list[str]:
    """Keys at which two recipes differ, one line each.

    >>> one = Recipe.parse("{name: a, data: {name: digits}, model: {name: mlp}, task: {name: classification}}")
    >>> differences(one.with_(seed=3), one)
    ['seed: 3, the run has 0']
    """
    ours, theirs = flat(asked.to_dict()), flat(made.to_dict())
    lines = []
    for key in {**theirs, **ours}:
        if ours.get(key, "nothing") != theirs.get(key, "nothing"):
            lines.append(f"{key}: {ours.get(key, 'nothing')}, the run has {theirs.get(key, 'nothing')}")
    return lines


def _reuse(recipe: Recipe, out: Path, resume: bool, force: bool) -> Recipe | None:
    is_run = (out / REQUESTED).is_file() or (out / "recipe.yaml").is_file()
    if (resume or force) and not is_run:
        raise RunError(f"{out}: not empty, and not a run; choose another --out")
    if force:
        _move_aside(out)
        return None
    if not resume:
        raise RunError(f"{out}: not empty; add --resume to go on, --force to start over, or choose another --out")
    made = [Recipe.load(out / name) for name in (REQUESTED, "recipe.yaml") if (out / name).is_file()]
    found = min((differences(recipe, each) for each in made), key=len)
    if found:
        listed = "\n  ".join(found)
        raise RunError(
            f"{out}: was made by another recipe; resume with its own ({resume_command(out)}), or choose another "
            f"--out. The differences:\n  {listed}"
        )
    return made[-1] if (out / "recipe.yaml").is_file() else None


def _move_aside(out: Path) -> None:
    """Make room for a new run; only what a run consists of is ever moved, for it will be removed."""
    strange = sorted(entry.name for entry in out.iterdir() if not _PARTS.fullmatch(entry.name))
    if strange or not (out / REQUESTED).is_file():
        what = f"holds files that are no part of a run ({', '.join(strange[:5])})" if strange else "is no run"
        raise RunError(f"{out}: {what}, so --force will not remove it; choose another --out")
    if Path.cwd().is_relative_to(out.resolve()):
        raise RunError(f"{out}: --force will not remove the folder you are in; choose another --out")
    discard_replaced(out)
    out.rename(_aside(out))


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced")


def _next_free(name: str) -> Path:
    parent = Path("runs") / name
    parent.mkdir(parents=True, exist_ok=True)
    number = max(_numbers(parent), default=0) + 1
    while True:
        try:
            (parent / str(number)).mkdir()
        except FileExistsError:  # another run took it this moment
            number += 1
        else:
            return parent / str(number)


def _newest(name: str) -> Path:
    parent = Path("runs") / name
    numbers = _numbers(parent) if parent.is_dir() else []
    if not numbers:
        raise RunError(f"{parent}: no run to resume; train without --resume, or say which with --out")
    return parent / str(max(numbers))


def _numbers(parent: Path) -> list[int]:
    return [int(entry.name) for entry in parent.iterdir() if entry.name.isdigit()]


def flat(value: Any, path: str = "") -> dict[str, str]:
    """Dotted keys and their values as JSON: ``{"a": {"b": 1}}`` -> ``{"a.b": "1"}``."""
    if isinstance(value, dict) and value:
        return {k: v for key, item in value.items() for k, v in flat(item, f"{path}.{key}" if path else key).items()}
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return {k: v for i, item in enumerate(value) for k, v in flat(item, f"{path}.{i}").items()}
    return {path: json.dumps(value, ensure_ascii=False)}
