"""`ensemble` makes one run of several finished ones: their answers combined, judged, and ready to be exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamplighter.core.errors import LamplighterError, RunError
from lamplighter.core.recipe import Component, Monitored, Recipe, Train
from lamplighter.data import comparable
from lamplighter.data.source import Source
from lamplighter.data.splits import Splits
from lamplighter.evaluate.ensembles import fit_stacker
from lamplighter.metrics import ensembles
from lamplighter.metrics.calibration import fit_temperature, softmax
from lamplighter.run import Run, build_task, conclude
from lamplighter.run.out_of_fold import check_retrainable, out_of_fold
from lamplighter.tasks.base import Task
from lamplighter.tasks.ensemble import Ensemble, Member
from lamplighter.train import checkpoint, rng, run_folder
from lamplighter.train.device import resolve_device
from lamplighter.train.evaluation import evaluate
from lamplighter.train.metrics_log import MetricsLog
from lamplighter.train.progress import NoProgress, make_progress
from lamplighter.train.signals import StopRequest


@dataclass(frozen=True)
class _Candidate:
    """A finished run, or a checkpoint within one.

    Attributes:
        name: as it was given.
        run: the run.
        weights: name of the checkpoint.
    """

    name: str
    run: Run
    weights: str


@dataclass(frozen=True)
class _Trained:
    """A candidate's task with its weights, and what it answers to the validation rows.

    Attributes:
        candidate: where it comes from.
        task: on the CPU.
        val: ``logits`` or ``value``, and ``y``.
        temperature: fitted on them, when the run is calibrated.
    """

    candidate: _Candidate
    task: Task
    val: dict[str, np.ndarray]
    temperature: float

    @property
    def member(self) -> Member:
        run = self.candidate.run
        return Member(
            model=run.recipe.model,
            task=run.recipe.task,
            run=self.candidate.name,
            digest=checkpoint.digest(run.path / "checkpoints" / self.candidate.weights),
            temperature=self.temperature,
        )


def ensemble(
    runs: Sequence[Run | Path | str],
    combine: str = "soft",
    out: Path | str | None = None,
    *,
    name: str | None = None,
    folds: int = 5,
    force: bool = False,
    progress: bool = True,
) -> Run:
    """Combine finished runs into one that can be evaluated, exported and served like any other.

    All must predict the same target from the same rows in the same splits. Weights are fitted on the validation split,
    a stacker on out-of-fold answers to the training split: each member is trained anew ``folds`` times, without the
    rows it then answers. The test split is opened once, for the ensemble and its members beside each other. The new
    run holds all weights; the old ones may be deleted.

    Args:
        runs: directories of runs, or of checkpoints in one (``runs/digits/1/checkpoints/snapshots/cycle-2``).
        combine: ``soft``, ``hard``, ``weighted`` or ``stacking``; see `lamplighter.metrics.ensembles`.
        out: the new run's directory; by default the next free number under ``runs/<name>``.
        name: of the new run and its bundle; by default the first run's with ``-ensemble``.
        folds: of stacking.
        force: replace the run that is in ``out``.
        progress: say what is being done.

    Raises:
        LamplighterError: no such way to combine, or fewer than two runs.
        RunError: a run is not finished, or was trained on other splits.
        DataError: runs that answer different questions.
    """
    ensembles.check_method(combine)
    candidates = [_candidate(run) for run in runs]
    if len(candidates) < 2:
        raise LamplighterError("an ensemble takes at least two runs")
    first, shown = candidates[0].run, make_progress(progress)
    source = first.source()
    for candidate in candidates[1:]:
        _check_comparable(candidate, candidates[0], source)
    device = resolve_device("auto")
    with StopRequest() as stop, rng.untouched():
        trained = [_trained(candidate, source, device, stop) for candidate in candidates]
        weights = None
        if combine == "weighted":
            weights, trained = _weighed(trained, shown)
        recipe = _recipe(trained, combine, weights, name or f"{first.recipe.name}-ensemble")
        folder, _ = run_folder.open_folder(recipe, Path(out) if out is not None else None, resume=False, force=force)
        with run_folder.withdrawn_unless_begun(folder):
            together = build_task(recipe, source)
            assert isinstance(together, Ensemble)
            for member, each in zip(together.tasks, trained):
                member.load_state_dict(each.task.state_dict())
            if together.combine.stacker is not None:
                _fit_stacker(together.combine.stacker, candidates, source, folds, folder, shown)
            _write(folder, recipe, source, together, [each.candidate.name for each in trained])
        run_folder.discard_replaced(folder)
        shown.message(_headline(len(trained), combine, folder))
        conclude(folder, recipe, source, together.to(device).eval(), device, shown, stop)
        MetricsLog(folder / "metrics.jsonl").append({"event": "finished", "best_epoch": 0})
    return Run(folder)


def _candidate(given: Run | Path | str) -> _Candidate:
    path = given.path if isinstance(given, Run) else Path(given)
    run, weights = Run(path) if (path / "recipe.yaml").is_file() else None, "best"
    for parent in path.parents if run is None else ():
        if parent.name == "checkpoints" and (parent.parent / "recipe.yaml").is_file():
            run, weights = Run(parent.parent), path.relative_to(parent).as_posix()
    if run is None:
        raise RunError(f"{path}: neither a run directory nor a checkpoint in one")
    if not run.finished:
        raise RunError(f"{run.path}: training has not finished; go on with: {run_folder.resume_command(run.path)}")
    if not checkpoint.exists(run.path / "checkpoints" / weights):
        raise RunError(f"{path}: holds no checkpoint")
    return _Candidate(str(path), run, weights)


def _check_comparable(candidate: _Candidate, first: _Candidate, source: Source) -> None:
    ours, theirs = first.run.recipe.data, candidate.run.recipe.data
    if not comparable.is_same_table(theirs, ours):
        raise RunError(f"{candidate.name}: was trained on other data ({theirs.name}) than {first.name} ({ours.name})")
    if theirs.params != ours.params:
        comparable.check_same_question(candidate.name, candidate.run.source(), source)
    if Splits.load(candidate.run.path / "split.npz") != source.splits:
        raise RunError(
            f"{candidate.name}: was trained on other splits than {first.name}, so rows that judge one have trained the "
            "other. Train both with the same seed, or with the same data.split_seed; members that differ in their "
            "initial weights alone also come from one run with task: {name: ensemble, members: 5}"
        )


def _trained(candidate: _Candidate, source: Source, device: torch.device, stop: StopRequest) -> _Trained:
    recipe = candidate.run.recipe
    task = build_task(recipe, source)
    checkpoint.load_model(candidate.run.path / "checkpoints" / candidate.weights, task)
    val, _ = evaluate(task.to(device), source.split("val"), 2 * recipe.data.batch_size, device, stop=stop)
    calibrates = recipe.bundle.calibrate and "logits" in val
    return _Trained(candidate, task.cpu().eval(), val, fit_temperature(val["logits"], val["y"]) if calibrates else 1.0)


def _weighed(trained: list[_Trained], progress: NoProgress) -> tuple[np.ndarray, list[_Trained]]:
    """Weights fitted on the validation split, and the runs that have one: what weighs nothing is not computed for ever.

    Raises:
        LamplighterError: a single run has all the weight.
    """
    y = trained[0].val["y"]
    if "logits" in trained[0].val:
        answers = [softmax(each.val["logits"], each.temperature) for each in trained]
        weights = ensembles.fit_weights(answers, y)
    else:
        weights = ensembles.fit_average_weights([each.val["value"] for each in trained], y)
    for each, weight in zip(trained, weights):
        progress.message(f"weight {weight:.4f}  {each.candidate.name}{'' if weight else '  (left out)'}")
    kept = np.flatnonzero(weights)
    if len(kept) < 2:
        raise LamplighterError(
            f"on the validation split no mixture of these runs is better than {trained[kept[0]].candidate.name} alone; "
            "export that one, or combine them another way (soft, stacking)"
        )
    return weights[kept], [trained[i] for i in kept]


def _recipe(trained: Sequence[_Trained], combine: str, weights: np.ndarray | None, name: str) -> Recipe:
    """The recipe of the new run: nothing in it is open, for nothing is trained."""
    base = trained[0].candidate.run.recipe
    params: dict[str, Any] = {"members": [each.member.model_dump(mode="json") for each in trained]}
    if weights is not None:
        params["weights"] = weights.tolist()
    monitor = base.train.monitor or Monitored.model_validate(dict(zip(("metric", "mode"), trained[0].task.monitor)))
    return base.with_(
        name=name,
        augment=(),
        task=Component(name="ensemble").replace(combine=combine, **params),
        train=Train(precision="fp32", channels_last=False, monitor=monitor),
    )


def _fit_stacker(
    stacker: nn.Linear,
    candidates: Sequence[_Candidate],
    source: Source,
    folds: int,
    folder: Path,
    progress: NoProgress,
) -> None:
    for candidate in candidates:
        if candidate.weights != "best":
            raise RunError(f"{candidate.name}: stacking trains runs anew, which a checkpoint is not; name the run")
        check_retrainable(candidate.name, candidate.run.recipe)
    found = [out_of_fold(c.run.recipe, source, folds, folder, progress, c.name) for c in candidates]
    answers, y = [answers for _, answers, _ in found], found[0][2]
    weight, bias = fit_stacker(answers, y, classes=bool(source.signature.labels))
    with torch.no_grad():
        stacker.weight.copy_(_tensor(weight))
        stacker.bias.copy_(_tensor(bias))


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _write(folder: Path, recipe: Recipe, source: Source, task: Task, names: Sequence[str]) -> None:
    source.splits.save(folder / "split.npz")
    checkpoint.save(folder / "checkpoints" / "best", task, {"runs": list(names)})
    log = MetricsLog(folder / "metrics.jsonl")
    log.append({"event": "ensemble", "runs": list(names), "combine": recipe.task.params["combine"]})
    recipe.save(folder / "recipe.yaml")


def _headline(members: int, combine: str, folder: Path) -> str:
    tie = ", ties to the class that comes first" if combine == "hard" else ""
    return f"{members} runs together ({combine}{tie}) in {folder}: an answer costs {members} networks"
