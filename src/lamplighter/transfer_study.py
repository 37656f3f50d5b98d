"""Trains one recipe from scratch and with transferred weights, more and more of them frozen, over several seeds."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lamplighter.core import files, weights_store
from lamplighter.core.errors import InterruptedRunError, RunError
from lamplighter.core.recipe import Monitored, Recipe
from lamplighter.evaluate.transfer_gain import Arm, TransferGain, picture
from lamplighter.run import Run, build_source, build_task, fit
from lamplighter.train import freezing
from lamplighter.train.progress import make_progress

_MOST_ARMS = 6
_RECORD = "study.json"


def study(
    recipe: Recipe,
    out: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3),
    freeze: Sequence[int | str] | None = None,
    progress: bool = True,
) -> TransferGain:
    """Score on the validation split by the number of frozen blocks, beside fine-tuning all and training from scratch.

    Each seed gives the split (unless ``data.split_seed`` fixes it), the new head and the order of the rows, the same
    ones in every arm, so arms are compared seed by seed. The test split stays closed. What was measured is in
    ``study.json`` after each training, and a study that was interrupted goes on from there. The score is that of the
    best epoch; choosing it makes all arms look a little better, alike.

    Args:
        recipe: with a ``transfer`` section, whose ``freeze_up_to`` does not matter here.
        out: folder for ``study.json`` and ``study.svg``.
        seeds: the recipe's seed, one after the other.
        freeze: blocks to freeze: numbers, or names as in ``freeze_up_to``. By default all from 0 to the head, or
            seven of them where there are more.
        progress: say what is being trained.

    Raises:
        RunError: the recipe transfers nothing, or ``out`` holds a study of another recipe.
        LamplighterError: see `lamplighter.run.fit`.
        InterruptedRunError: Ctrl-C or SIGTERM; the same call goes on.
    """
    if recipe.transfer is None:
        raise RunError("a study of transfer needs a recipe with a transfer section: transfer: {weights: ...}")
    digest = weights_store.locate(recipe.transfer.weights).sha256()
    recipe = recipe.with_(transfer=recipe.transfer.model_copy(update={"sha256": digest}))
    task = build_task(recipe, build_source(recipe))
    monitor = recipe.train.monitor or Monitored.model_validate(dict(zip(("metric", "mode"), task.monitor)))
    recipe = recipe.with_(train=recipe.train.model_copy(update={"monitor": monitor}))
    blocks = [block.name for block in freezing.blocks(task)]
    wanted = freeze if freeze is not None else _evenly(len(blocks))
    counts = sorted({len(freezing.first(task, up_to)) for up_to in wanted})
    out.mkdir(parents=True, exist_ok=True)
    record = _Record(out / _RECORD, recipe)
    shown = make_progress(progress)
    for seed in seeds:
        for frozen in [None, *counts]:
            if record.get(frozen, seed) is None:
                name = _name(frozen, blocks)
                score = _score(record, frozen, seed)
                shown.message(f"seed {seed}: {name}: validation {monitor.metric} {score:.4f}")
    arms = []
    for frozen in [None, *counts]:
        values = {seed: value for seed in seeds if (value := record.get(frozen, seed)) is not None}
        arms.append(Arm(_name(frozen, blocks), frozen, _learning(task, frozen), values))
    gain = TransferGain(monitor.metric, monitor.mode, tuple(arms))
    record.write(gain.to_dict())
    picture(out / "study.svg", gain, blocks)
    return gain


def _score(record: _Record, frozen: int | None, seed: int) -> float:
    """Train once, in a folder that is removed afterwards, and keep the best score."""
    recipe, out = record.recipe, record.path.parent
    assert recipe.transfer is not None
    section = None if frozen is None else recipe.transfer.model_copy(update={"freeze_up_to": frozen})
    with tempfile.TemporaryDirectory(prefix=".training.", suffix=".tmp", dir=out) as folder:
        try:
            run = fit(recipe.with_(seed=seed, transfer=section), Path(folder) / "run", progress=False, judge=False)
        except InterruptedRunError as error:
            raise InterruptedRunError(
                f"stopped; what was measured is in {record.path}, the same command goes on", error.exit_code - 128
            ) from None
        score = _best(run)
        record.add(frozen, seed, score, run.recipe)
    return score


def _best(run: Run) -> float:
    """The monitored metric where it was best."""
    monitor = run.recipe.train.monitor
    assert monitor is not None
    records = [record for record in run.history if record.get("event") in ("epoch", "validation")]
    values = [value for record in records if isinstance(value := record.get(f"val/{monitor.metric}"), int | float)]
    return float(max(values) if monitor.mode == "max" else min(values))


def _learning(task: Any, frozen: int | None) -> int:
    """Parameters that learn when so many blocks are frozen."""
    still = {id(p) for block in freezing.blocks(task)[: frozen or 0] for p in block.parameters()}
    return sum(p.numel() for p in task.parameters() if id(p) not in still)


def _evenly(blocks: int) -> list[int]:
    """All numbers from 0 to ``blocks``, or seven of them, evenly spaced.

    >>> _evenly(3), _evenly(17)
    ([0, 1, 2, 3], [0, 3, 6, 8, 11, 14, 17])
    """
    if blocks <= _MOST_ARMS:
        return list(range(blocks + 1))
    return [round(i * blocks / _MOST_ARMS) for i in range(_MOST_ARMS + 1)]


def _name(frozen: int | None, blocks: Sequence[str]) -> str:
    if frozen is None:
        return "from scratch"
    if frozen == 0:
        return "fine-tuning"
    return "head only" if frozen == len(blocks) else f"frozen up to {blocks[frozen - 1]}"


class _Record:
    """What was measured so far, on the disk.

    Args:
        path: the file; when it is there, the study goes on.
        recipe: of the study.

    Attributes:
        recipe: of the next training: what the first one decided is not decided again.
    """

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path = path
        self.recipe = recipe
        asked = recipe.with_(seed=0).to_dict()
        asked["transfer"].pop("freeze_up_to")
        self.data: dict[str, Any] = {"recipe": asked, "decided": {}, "scores": {}}
        if path.exists():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                found = json.loads(path.read_text(encoding="utf-8"))
                if found["recipe"] == asked:
                    self.data |= {"scores": dict(found["scores"]), "decided": dict(found["decided"])}
                    self._decide()
                    return
            raise RunError(f"{path}: is of another recipe or other weights, or damaged; choose another folder")

    def get(self, frozen: int | None, seed: int) -> float | None:
        """The score, if it was measured."""
        found = self.data["scores"].get(_key(frozen), {}).get(str(seed))
        return None if found is None else float(found)

    def add(self, frozen: int | None, seed: int, score: float, resolved: Recipe) -> None:
        """Keep a score, and what was decided in the training it comes from."""
        self.data["scores"].setdefault(_key(frozen), {})[str(seed)] = score
        train = resolved.train
        self.data["decided"] = {
            "device": resolved.device,
            "threads": resolved.threads,
            "train": {"precision": train.precision, "channels_last": train.channels_last},
        }
        self._decide()
        files.write_json(self.path, self.data)

    def write(self, result: dict[str, Any]) -> None:
        """Add what follows from the scores."""
        files.write_json(self.path, {**self.data, "result": result})

    def _decide(self) -> None:
        decided = self.data["decided"]
        if decided:
            train = self.recipe.train.model_copy(update=decided["train"])
            self.recipe = self.recipe.with_(device=decided["device"], threads=decided["threads"], train=train)


def _key(frozen: int | None) -> str:
    return "scratch" if frozen is None else str(frozen)
