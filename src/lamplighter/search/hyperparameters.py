"""Hyper-parameter search: many trainings of one recipe, judged on the validation split; the test split stays shut."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from lamplighter.core import files
from lamplighter.core.errors import InterruptedRunError, LamplighterError, RecipeError, RunError, TrainingError
from lamplighter.core.recipe import Monitored, Recipe, Search
from lamplighter.data.source import Source
from lamplighter.evaluate.optimism import expected_optimism
from lamplighter.run import Run, build_source, build_task, fit
from lamplighter.search import folder as folders
from lamplighter.search import space as spaces
from lamplighter.search import study as studies
from lamplighter.search.progress import Following, ManyProgress
from lamplighter.search.pruning import Pruning
from lamplighter.search.result import SearchResult, State, Trial


def search(
    recipe: Recipe | str | Path,
    out: Path | str | None = None,
    *,
    trials: int | None = None,
    timeout: float | None = None,
    resume: bool = False,
    progress: bool = True,
    source: Source | None = None,
) -> SearchResult:
    """Carry out the ``search`` section of a recipe.

    Every trial is a run of its own below ``out``, trained on the training split and judged on the validation split.
    Checkpoints are kept of the best trial only. ``best.yaml`` is ready to train; that run then opens the test split,
    for the first time.

    Args:
        recipe: with a ``search`` section; a recipe, its file, or the name of a built-in one.
        out: the search's folder; by default the next free ``runs/<name>/search-<n>``.
        trials: instead of the recipe's.
        timeout: instead of the recipe's.
        resume: go on in ``out``; a trial that was interrupted goes on from its checkpoint.
        progress: show a bar, or lines where there is no terminal.
        source: the recipe's data, already built; brings its own splits.

    Raises:
        RecipeError: the space names keys or values that do not exist; nothing was trained.
        TrainingError: no trial came to an end.
        InterruptedRunError: Ctrl-C or SIGTERM; the message has the command to resume.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    settings = _settings(recipe, trials, timeout)
    spaces.check(recipe, settings.space, grid=settings.sampler == "grid")
    folder = folders.open_folder("search", recipe, {}, Path(out) if out is not None else None, resume)
    base = source or build_source(recipe)
    monitor = _monitor(recipe, settings, base)
    name, epochs = _name(recipe), recipe.train.epochs
    with studies.quiet(), studies.opened(settings, name, folder, monitor.mode, epochs, recipe.seed) as study:
        studies.adopt_interrupted(study, settings.space)
        total = settings.trials
        if settings.sampler == "grid":
            total = studies.plan_grid(study, settings.space, settings.trials, recipe.seed)
        done = len(study.get_trials(deepcopy=False, states=studies.DONE))
        shown = ManyProgress("trial", total, done, progress)
        for line in getattr(base, "notes", []):
            shown.message(line)
        job = _Search(recipe, settings, monitor, folder, base, study, shown)
        try:
            if done < total:
                study.optimize(job.trial, n_trials=total - done, timeout=settings.timeout, callbacks=[job.after(total)])
        except InterruptedRunError as error:
            what = f"trial {shown.done + 1} of {total}"
            raise folders.interrupted(error, what, "lamp search {recipe}", folder) from None
        finally:
            shown.stop()
        result = job.result()
    files.write_json(folder / "search.json", result.to_dict())
    from lamplighter.search.report import write_search_report

    write_search_report(folder / "report.html", result, settings)
    return result


class _Search:
    """One search as it goes: runs trials, keeps the best."""

    def __init__(
        self,
        recipe: Recipe,
        settings: Search,
        monitor: Monitored,
        folder: Path,
        source: Source,
        study: optuna.Study,
        progress: ManyProgress,
    ) -> None:
        self.recipe, self.settings, self.monitor = recipe, settings, monitor
        self.folder, self.source, self.study, self.progress = folder, source, study, progress

    def trial(self, trial: optuna.Trial) -> float:
        """Train one set of values; its best validation score."""
        studies.mark_own(trial)
        if self.settings.sampler == "grid" and "grid" not in trial.user_attrs:
            self.study.stop()  # another process took the last of the grid
            raise optuna.TrialPruned
        values = spaces.suggest(trial, self.settings.space)
        path = self.folder / f"trial-{trial.number}"
        before = self.folder / f"trial-{trial.user_attrs.get('continues')}"
        if before.is_dir() and not path.exists():
            before.rename(path)
        pruning = Pruning(trial)
        try:
            recipe = spaces.apply(self._base(), values)
            run = fit(
                recipe,
                path,
                resume=path.exists(),
                progress=False,
                callbacks=[pruning, Following(self.progress)],
                source=self._source(recipe),
                judge=False,
            )
        except (TrainingError, RecipeError) as error:
            trial.set_user_attr("error", str(error))
            raise optuna.TrialPruned from None
        if pruning.pruned:
            raise optuna.TrialPruned
        trial.set_user_attr("standard_error", _standard_error(run, self.monitor.metric))
        return _best(run, self.monitor)

    def after(self, total: int) -> Any:
        """What happens after each trial: a line for a person, the best recipe written, old checkpoints removed."""

        def callback(study: optuna.Study, trial: FrozenTrial) -> None:
            if "error" not in trial.user_attrs and not trial.params:
                return  # took no values
            made = self._trial(trial)
            self.progress.finished(_line(made, self.monitor.metric))
            best = self._best_number()
            if best == trial.number:
                self._best_recipe(made).save(self.folder / "best.yaml")
            for each in self.folder.glob("trial-*/checkpoints"):
                number = int(each.parent.name.removeprefix("trial-"))
                if number != best and study.trials[number].state in studies.DONE:
                    shutil.rmtree(each)
            if len(study.get_trials(deepcopy=False, states=studies.DONE)) >= total:
                study.stop()

        return callback

    def result(self) -> SearchResult:
        """What was found so far.

        Raises:
            TrainingError: no trial is complete.
        """
        trials = tuple(self._trial(trial) for trial in self.study.get_trials(deepcopy=False) if trial.params)
        complete = [trial for trial in trials if trial.value is not None]
        if not complete:
            errors = [trial.error for trial in trials if trial.error]
            why = f"; the first error: {errors[0]}" if errors else ""
            raise TrainingError(f"{self.folder}: no trial came to its end{why}")
        number = self._best_number()
        best = next(trial for trial in trials if trial.number == number)
        own = self._error_of(best)
        luck = expected_optimism([t.value or 0.0 for t in complete], own, self.monitor.mode) if own else None
        recipe = self._best_recipe(best)
        recipe.save(self.folder / "best.yaml")
        return SearchResult(
            path=self.folder,
            metric=self.monitor.metric,
            mode=self.monitor.mode,
            trials=trials,
            best_recipe=recipe,
            importance=studies.importance(self.study, self.recipe.seed),
            optimism=luck,
        )

    def _best_number(self) -> int | None:
        """Of the complete trial with the best value; the first of equals."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        sign = -1 if self.monitor.mode == "max" else 1
        return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number)).number if complete else None

    def _error_of(self, best: Trial) -> float | None:
        """Standard error of the best value, from its 95% interval; the largest of all trials where it is a point."""
        found = {t.number: t.user_attrs.get("standard_error") for t in self.study.get_trials(deepcopy=False)}
        return found[best.number] or max((error for error in found.values() if error is not None), default=None)

    def _base(self) -> Recipe:
        """The recipe of every trial but for the values: judged by the metric, computed as the first trial was."""
        recipe = self.recipe.with_(train=self.recipe.train.model_copy(update={"monitor": self.monitor}))
        runs = sorted(self.folder.glob("trial-*"), key=lambda path: int(path.name.removeprefix("trial-")))
        return folders.settled_by(recipe, runs)

    def _best_recipe(self, best: Trial) -> Recipe:
        recipe = spaces.apply(self._base(), best.params)
        return recipe.with_(device=self.recipe.device, threads=self.recipe.threads)

    def _source(self, recipe: Recipe) -> Source:
        """The data; built anew, in the same splits, when a trial changes how columns are read."""
        if recipe.data.params == self.recipe.data.params:
            return self.source
        return build_source(recipe, self.source.splits)

    def _trial(self, trial: FrozenTrial) -> Trial:
        states: dict[TrialState, State] = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
        state = states.get(trial.state, "failed" if trial.state == TrialState.FAIL else "running")
        error = str(trial.user_attrs.get("error", ""))
        return Trial(
            number=trial.number,
            state="failed" if error else state,
            value=trial.value if trial.state == TrialState.COMPLETE else None,
            params=spaces.decoded(trial.params, self.settings.space),
            reports=dict(trial.intermediate_values),
            seconds=trial.duration.total_seconds() if trial.duration else 0.0,
            path=self.folder / f"trial-{trial.number}",
            error=error,
        )


def _settings(recipe: Recipe, trials: int | None, timeout: float | None) -> Search:
    if recipe.search is None:
        raise RecipeError(
            [
                "search: the recipe does not say what to search; add for instance "
                "search: {space: {train.optimizer.lr: {log: [0.0001, 0.1]}}}"
            ]
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise LamplighterError(
            "each trial is trained by one process; instead of torchrun start 'lamp search --resume' several times on "
            "one folder, or on one search.storage"
        )
    changed = {key: value for key, value in {"trials": trials, "timeout": timeout}.items() if value is not None}
    return recipe.search.model_copy(update=changed)


def _monitor(recipe: Recipe, settings: Search, source: Source) -> Monitored:
    """What trials are judged by."""
    chosen = settings.metric or recipe.train.monitor
    if chosen is not None:
        return chosen
    metric, mode = build_task(recipe, source).monitor
    return Monitored.model_validate({"metric": metric, "mode": mode})


def _name(recipe: Recipe) -> str:
    """Of the study: two searches in one database are one when everything but their length is the same."""
    import hashlib
    import json

    data = recipe.to_dict()
    for key in ("trials", "timeout", "storage"):
        data["search"].pop(key)
    return f"{recipe.name}-{hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]}"


def _best(run: Run, monitor: Monitored) -> float:
    """The best validation score of a run."""
    judged = [record for record in run.history if record["event"] in ("epoch", "validation")]
    found = [record.get(f"val/{monitor.metric}") for record in judged]
    values = [value for value in found if isinstance(value, int | float) and math.isfinite(value)]
    if not values:
        raise RunError(f"{run.path}: its diary has no finite val/{monitor.metric}")
    return max(values) if monitor.mode == "max" else min(values)


def _standard_error(run: Run, metric: str) -> float | None:
    """Of the validation score, from its 95% interval."""
    score = run.val_metrics.get(metric)
    return (score.high - score.low) / (2 * 1.959964) if score is not None else None


def _line(trial: Trial, metric: str) -> str:
    values = "  ".join(f"{key.rpartition('.')[2]} {_short(value)}" for key, value in trial.params.items())
    if trial.state == "failed":
        return f"failed: {trial.error}  {values}"
    if trial.value is None:
        return f"pruned after epoch {trial.epochs}  {values}"
    return f"{metric} {trial.value:.4f}  {values}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
