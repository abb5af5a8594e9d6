"""A study that was killed and taken up again has the trials of one that was not: number, ratio, score, winner."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import OutputError
from mixmerge.report import validate
from mixmerge.study import Study, TrialStarted, explore
from mixmerge.study.storage import FolderLock

KILLED = """
import os, signal, sys
from mixmerge.study import explore, TrialDone, TrialStarted, Proving

folder, recipe, where, at, sampler, race, *tasks = sys.argv[1:]
seen = 0

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def listen(event):
    global seen
    kinds = {"started": TrialStarted, "done": TrialDone, "proving": Proving}
    if where in kinds and isinstance(event, kinds[where]):
        seen += 1
        if seen == int(at):
            die()

if where == "told":  # between the item scores and the end of the trial
    from mixmerge.study.storage import Storage
    tell = Storage.tell
    def late(self, asked, outcome):
        if asked.number == int(at):
            die()
        tell(self, asked, outcome)
    Storage.tell = late
if where == "asked":  # when the storage knows the number and not yet the coordinates
    from mixmerge.study import samplers
    proposed = samplers._sobol
    def late(dimensions, seed, number):
        if number == int(at):
            die()
        return proposed(dimensions, seed, number)
    samplers._sobol = late

explore(recipe, tasks, folder=folder, draws=6, seed=4, sampler=sampler, race=race == "race", threads=1,
        listeners=[listen])
"""


def rows(study: Study) -> list[tuple[Any, ...]]:
    return [(row["number"], row["ratio a"], row["value"], row["state"]) for row in study.trials]


def killed(tiny: Any, folder: Path, where: str, at: int, sampler: str = "sobol", race: bool = False) -> None:
    words = [str(folder), tiny.recipe, where, str(at), sampler, "race" if race else "", *map(str, tiny.tasks)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", KILLED, *words], env=environment, capture_output=True, timeout=600)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def again(tiny: Any, folder: Path, sampler: str = "sobol", race: bool = False) -> Study:
    return explore(tiny.recipe, tiny.tasks, folder=folder, draws=6, seed=4, sampler=sampler, race=race, threads=1)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory) -> Study:
    return again(tiny, tmp_path_factory.mktemp("whole") / "s")


@pytest.mark.parametrize(("where", "at"), [("started", 3), ("told", 4), ("asked", 2)])
def test_a_killed_study_goes_on_to_the_same_trials(tiny, whole, tmp_path, where, at) -> None:
    killed(tiny, tmp_path / "s", where, at)
    study = again(tiny, tmp_path / "s")
    assert rows(study) == rows(whole)
    assert study.best == {**whole.best, "seconds": study.best["seconds"]}
    assert study.summary["test"] == whole.summary["test"]


def test_a_half_written_line_is_taken_off(tiny, whole, tmp_path) -> None:
    folder = tmp_path / "s"
    explore(tiny.recipe, tiny.tasks, folder=folder, draws=2, seed=4, threads=1)
    with (folder / "journal.log").open("ab") as file:
        file.write(b'{"op_code":4,"worker')
    with (folder / "items" / "equal.validation.jsonl").open("ab") as file:
        file.write(b'{"task": "le')
    assert rows(again(tiny, folder)) == rows(whole)


def test_a_study_killed_before_it_knew_what_it_was_begins(tiny, tmp_path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "study.lock").touch()
    (folder / ".study.json.4711.tmp").write_text('{"schema"')
    assert len(explore(tiny.recipe, tiny.tasks, folder=folder, draws=1, seed=4, threads=1).trials) == 1


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_proof_that_was_stopped_proves_nothing_yet(tiny, whole, tmp_path, kept) -> None:
    """The file of the winner's test items ends in the middle, or lacks one item: read, gone on with, never compared."""
    folder = tmp_path / "s"
    shutil.copytree(whole.folder, folder)
    (path,) = (folder / "items").glob("trial-*.test.jsonl")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    stopped = Study(folder).summary
    validate(stopped)
    assert (stopped["state"], stopped["verdict"]["strength"], stopped["paired"]) == ("running", "pending", [])
    assert again(tiny, folder).summary["test"] == whole.summary["test"]


def test_one_command_at_a_time(tiny, tmp_path) -> None:
    (tmp_path / "s").mkdir()
    with FolderLock(tmp_path / "s"), pytest.raises(OutputError, match="one command at a time"):
        again(tiny, tmp_path / "s")


def test_a_running_study_can_be_read(tiny, tmp_path) -> None:
    class Stopped(BaseException):
        pass

    def listen(event: object) -> None:
        if isinstance(event, TrialStarted) and event.number == 2:
            raise Stopped

    with pytest.raises(Stopped):
        explore(tiny.recipe, tiny.tasks, folder=tmp_path / "s", draws=6, threads=1, listeners=[listen])
    study = Study(tmp_path / "s")
    assert [row["state"] for row in study.trials] == ["complete", "complete", "running"]
    assert study.summary["state"] == "running"
