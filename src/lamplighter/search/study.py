"""The optuna study behind a search: where it is stored, who chooses the next values, who ends trials early."""

from __future__ import annotations

import contextlib
import os
import socket
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from lamplighter.core import files, seeding
from lamplighter.core.errors import LamplighterError
from lamplighter.core.recipe import Search
from lamplighter.core.search_space import Parameter, combinations
from lamplighter.search import space as spaces

DONE = (TrialState.COMPLETE, TrialState.PRUNED)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without optuna's own log lines and warnings about what is experimental in it."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


@contextlib.contextmanager
def opened(settings: Search, name: str, folder: Path, mode: str, epochs: int, seed: int) -> Iterator[optuna.Study]:
    """Make the study, or open the one that is there; connections to a database are closed afterwards.

    Args:
        settings: the recipe's ``search`` section.
        name: of the study in a database that several may share.
        folder: where ``study.journal`` lies unless ``settings.storage`` names a database.
        mode: ``min`` or ``max``.
        epochs: of a trial that is not ended early.
        seed: the recipe's seed; a study that goes on draws other numbers than at its beginning.

    Raises:
        LamplighterError: the database cannot be reached.
    """
    storage = None
    try:
        storage = _storage(settings.storage, folder)
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize" if mode == "max" else "minimize",
            load_if_exists=True,
            pruner=_pruner(settings.pruner, epochs),
            sampler=_sampler(settings.sampler, seeding.derive(seed, "search", _count(storage, name)) % 2**32),
        )
    except (OSError, optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        reason = str(error).split("\n")[0]
        _close(storage)
        raise LamplighterError(f"search.storage: {settings.storage or folder}: cannot be used ({reason})") from None
    try:
        yield study
    finally:
        _close(storage)


def plan_grid(study: optuna.Study, space: Mapping[str, Parameter], trials: int, seed: int) -> int:
    """Queue the combinations of a grid that are not in the study yet; of too many, a random part.

    Args:
        study: new, or one to go on with.
        space: with finite values.
        trials: how many at most.
        seed: of the random part.

    Returns:
        How many trials the study will have when all are done.
    """
    grid = [spaces.encoded(values, space) for values in combinations(space)]
    order = range(len(grid))
    if trials < len(grid):
        order = sorted(seeding.generator(seed, "grid").permutation(len(grid))[:trials].tolist())  # type: ignore[assignment]
    planned = {trial.user_attrs.get("grid") for trial in study.get_trials(deepcopy=False)}
    for number in order:
        if number not in planned:
            study.enqueue_trial(grid[number], user_attrs={"grid": number})
    return len(order)


def adopt_interrupted(study: optuna.Study, space: Mapping[str, Parameter]) -> None:
    """Queue the values of trials that were interrupted, or whose process is gone, once more.

    The new trial goes on from the old one's checkpoint: its attribute ``continues`` has the old number.
    """
    trials = study.get_trials(deepcopy=False)
    adopted = {trial.user_attrs.get("continues") for trial in trials}
    for trial in trials:
        if trial.state == TrialState.RUNNING and _process_is_gone(trial):
            study.tell(trial.number, state=TrialState.FAIL)
        elif trial.state != TrialState.FAIL:
            continue
        if trial.number not in adopted and set(trial.params) == set(space):
            grid = {"grid": trial.user_attrs["grid"]} if "grid" in trial.user_attrs else {}
            study.enqueue_trial(trial.params, user_attrs={"continues": trial.number, **grid})


def mark_own(trial: optuna.Trial) -> None:
    """Write down which process works on a trial."""
    trial.set_user_attr("host", socket.gethostname())
    trial.set_user_attr("process", os.getpid())


def importance(study: optuna.Study, seed: int) -> dict[str, float]:
    """Share of the variance between complete trials that each key explains (fANOVA, Hutter et al. 2014).

    Empty with fewer than four complete trials, or where all values are equal.
    """
    values = [trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
    if len(values) < 4 or len(set(values)) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed % 2**32)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {key: float(share) for key, share in found.items()}


def _process_is_gone(trial: FrozenTrial) -> bool:
    """Whether a running trial belongs to a process of this machine that no longer exists."""
    if trial.user_attrs.get("host", socket.gethostname()) != socket.gethostname():
        return False
    process = trial.user_attrs.get("process")
    if process is None or process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _storage(url: str | None, folder: Path) -> Any:
    if url is not None:
        parsed = make_url(url)
        if parsed.drivername == "postgresql":  # SQLAlchemy 2.0 takes this for psycopg2, 2.1 for psycopg
            parsed = parsed.set(drivername="postgresql+psycopg")
        return optuna.storages.RDBStorage(parsed.render_as_string(hide_password=False))
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    path = (folder / "study.journal").resolve()  # a lock on a relative path would never count as stale
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        _drop_torn_line(path)
    finally:
        lock.release()
    return optuna.storages.JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def _close(storage: Any) -> None:
    if isinstance(storage, optuna.storages.RDBStorage):
        storage.remove_session()
        storage.engine.dispose()


def _drop_torn_line(path: Path) -> None:
    """Cut off what a crash left of a last line; the journal could not be read with it."""
    if path.is_file():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            files.write_bytes(path, content[:whole])


def _count(storage: Any, name: str) -> int:
    """Trials that a study has so far."""
    found = [summary for summary in optuna.get_all_study_summaries(storage) if summary.study_name == name]
    return found[0].n_trials if found else 0


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)  # a grid's values are queued and not drawn


def _pruner(name: str, epochs: int) -> optuna.pruners.BasePruner:
    if name == "median":
        return optuna.pruners.MedianPruner()
    if name == "successive-halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs)
    return optuna.pruners.NopPruner()
