"""The trials of a study in Optuna's storage: ask for one, tell how it ended, list them all.

One process asks and tells; it holds the study folder's lock, so a trial that is still running when a study is opened
was left by a process that died. Such a trial keeps its number and its coordinates and is run again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, final

from mixmerge.errors import OutputError, Problem, extra_missing
from mixmerge.mixup import Ratio
from mixmerge.study.items import mend
from mixmerge.study.space import Point, Space, Value

try:
    import optuna
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState
except ImportError as error:
    raise extra_missing("study", "optuna", "A study") from error

JOURNAL: Final = "journal.log"
OUTCOME: Final = "outcome"
"""The attribute of a trial that is read again; whatever else has this name is not shown beside it."""

State = Literal["complete", "dropped", "failed", "running"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A trial to be run: its number and its point. key: the storage's own id."""

    key: int
    number: int
    coordinates: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended.

    scores: task -> (mean over the validation items answered, their number). objectives: one number a direction.
    seconds: of merging, of evaluating. saved: item evaluations that racing spared. direct: whether the
    merge went straight into the live model, rather than through a temporary checkpoint.
    """

    state: State
    point: Point
    scores: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    objectives: tuple[float, ...] = ()
    seconds: tuple[float, float] = (0.0, 0.0)
    saved: int = 0
    error: str = ""
    direct: bool = True


@dataclass(frozen=True, slots=True)
class Recorded:
    """A trial as the storage has it."""

    number: int
    coordinates: tuple[float, ...]
    outcome: Outcome

    @property
    def state(self) -> State:
        return self.outcome.state


@final
class Storage:
    """An Optuna study. names: of the coordinates. directions: how many objectives, all maximised."""

    def __init__(self, folder: Path, url: str | None, name: str, space: Space, sampler: Any, directions: int) -> None:
        self._space = space
        self._names = space.names
        mend(folder / JOURNAL)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with ExitStack() as opened, _told_if_damaged(folder):
            self._study = optuna.create_study(
                storage=opened.enter_context(_opened(folder, url)),
                study_name=name,
                sampler=sampler,
                directions=["maximize"] * directions,
                load_if_exists=True,
            )
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Let go of a database."""
        self._opened.close()

    def left_running(self) -> list[Asked]:
        """Trials a dead process left, in order of number, as they were asked."""
        found = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING))
        return [self._asked(optuna.trial.Trial(self._study, trial._trial_id)) for trial in found]

    def ask(self) -> Asked:
        """The next trial."""
        return self._asked(self._study.ask())

    def _asked(self, trial: Any) -> Asked:
        coordinates = tuple(trial.suggest_float(name, 0.0, 1.0) for name in self._names)
        return Asked(trial._trial_id, trial.number, coordinates)

    def tell(self, asked: Asked, outcome: Outcome) -> None:
        """Record how a trial ended. What is told is complete before the trial counts as ended."""
        trial = optuna.trial.Trial(self._study, asked.key)
        for name, value in (_readable(outcome) | {OUTCOME: _to_json(outcome)}).items():
            trial.set_user_attr(name, value)
        if outcome.state == "complete":
            self._study.tell(asked.number, values=list(outcome.objectives))
            return
        if outcome.state == "dropped" and len(outcome.objectives) == 1:
            trial.report(outcome.objectives[0], step=sum(n for _, n in outcome.scores.values()))
        state = TrialState.PRUNED if outcome.state == "dropped" else TrialState.FAIL
        self._study.tell(asked.number, state=state)

    def trials(self) -> list[Recorded]:
        """Every trial in order of number; those without an end are `running`."""
        return _recorded(self._study, self._space)


def read_trials(folder: Path, url: str | None, name: str, space: Space) -> list[Recorded]:
    """The trials of a study that another process may be running; nothing is written."""
    if url is None and not (folder / JOURNAL).exists():
        return []
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _told_if_damaged(folder), _opened(folder, url) as storage:
        return _recorded(optuna.load_study(study_name=name, storage=storage), space)


def _recorded(study: Any, space: Space) -> list[Recorded]:
    found = []
    for trial in study.get_trials(deepcopy=False):
        coordinates = tuple(trial.params[name] for name in space.names if name in trial.params)
        if trial.state.is_finished() and OUTCOME in trial.user_attrs:
            outcome = _from_json(trial.user_attrs[OUTCOME])
        else:
            known = len(coordinates) == len(space.names)
            outcome = Outcome("running", space.point(coordinates) if known else Point({}, {}))
        found.append(Recorded(trial.number, coordinates, outcome))
    return found


def _readable(outcome: Outcome) -> dict[str, Any]:
    """What optuna-dashboard shows in columns."""
    ratios = {f"ratio {group}": list(ratio) for group, ratio in outcome.point.ratios.items()}
    return {**ratios, **{task: mean for task, (mean, _) in outcome.scores.items()}, **dict(outcome.point.values)}


def _to_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "state": outcome.state,
        "ratios": {group: list(ratio) for group, ratio in outcome.point.ratios.items()},
        "values": dict(outcome.point.values),
        "scores": {task: list(found) for task, found in outcome.scores.items()},
        "objectives": list(outcome.objectives),
        "seconds": list(outcome.seconds),
        "saved": outcome.saved,
        "error": outcome.error,
        "direct": outcome.direct,
    }


def _from_json(data: Mapping[str, Any]) -> Outcome:
    ratios: dict[str, Ratio] = {group: tuple(ratio) for group, ratio in data["ratios"].items()}
    values: dict[str, Value] = dict(data["values"])
    merge, evaluate = data["seconds"]
    return Outcome(
        data["state"],
        Point(ratios, values),
        {task: (mean, n) for task, (mean, n) in data["scores"].items()},
        tuple(data["objectives"]),
        (merge, evaluate),
        data["saved"],
        data["error"],
        data["direct"],
    )


@contextmanager
def _opened(folder: Path, url: str | None) -> Iterator[Any]:
    """The journal of a folder, or a database, whose connections Optuna itself leaves open."""
    if url is None:
        path = folder / JOURNAL
        yield optuna.storages.JournalStorage(JournalFileBackend(str(path), lock_obj=_NoLock()))
        return
    database = _database(url)
    try:
        yield database
    finally:
        database.remove_session()
        database.engine.dispose()


@contextmanager
def _told_if_damaged(folder: Path) -> Iterator[None]:
    """Optuna's journal has one JSON value a line; what a killed process did not finish was taken off before."""
    try:
        yield
    except json.JSONDecodeError as error:
        rule, cure = "the journal of a study can be read", "restore it from a copy, or begin another study"
        raise OutputError(Problem(rule, f"a line that is no JSON: {error}", str(folder / JOURNAL), cure)) from error


def check_storage(url: str | None) -> None:
    """Raise OutputError where a storage cannot be opened; nothing but its tables is made."""
    if url is not None:
        with _opened(Path(), url):
            pass


def _database(url: str) -> Any:
    import sqlalchemy.exc  # Optuna's own way to databases

    try:
        return optuna.storages.RDBStorage(url)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError, OSError) as error:
        rule, cure = "Optuna opens the storage", "as sqlite:///studies.db; other databases need their Python package"
        told = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise OutputError(Problem(rule, told, f"storage {url}", cure)) from error


class _NoLock:
    """The study's own lock is held already; Optuna's would outlive a killed process by half a minute."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


class FolderLock:
    """Only one process at a time runs the study of a folder, made where it is not there; the system lets go of it when
    that process ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "study.lock"
        self._file: Any = None

    def __enter__(self) -> FolderLock:
        folder = self._path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a")
        except OSError as error:
            found = error.strerror or str(error)
            rule, cure = "the folder can be made and written", "choose another folder"
            raise OutputError(Problem(rule, found, str(folder), cure)) from error
        try:
            _lock(self._file.fileno())
        except OSError as error:
            self._file.close()
            rule, cure = "one command at a time runs a study", "wait for it to end, or choose another folder"
            raise OutputError(Problem(rule, "another one is running it", str(self._path), cure)) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _lock(descriptor: int) -> None:
    """Raises OSError where another process holds the lock; where the system has no such locks, nothing is held."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def finished(trials: Sequence[Recorded]) -> list[Recorded]:
    """Those that ended in any way."""
    return [trial for trial in trials if trial.state != "running"]
