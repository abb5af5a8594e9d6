"""Twenty studies killed at random moments, some of them twice; only `make prove` runs this (PROVE=1)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mixmerge.study import Study, explore

pytestmark = pytest.mark.skipif("PROVE" not in os.environ, reason="takes minutes; make prove runs it")

STUDY = """
import sys
from mixmerge.study import StudyStarted, explore

folder, recipe, sampler, race, *tasks = sys.argv[1:]

def listen(event):
    if isinstance(event, StudyStarted):
        print("started", flush=True)

explore(recipe, tasks, folder=folder, draws=10, seed=4, sampler=sampler, race=race == "race", threads=1,
        listeners=[listen])
"""


def killed(tiny: Any, folder: Path, sampler: str, race: bool, after: float) -> None:
    """A study in a process that is killed `after` seconds from its start."""
    words = [str(folder), tiny.recipe, sampler, "race" if race else "", *map(str, tiny.tasks)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", STUDY, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(after)
        process.send_signal(signal.SIGKILL)


def rows(study: Study) -> list[tuple[Any, ...]]:
    return [(row["number"], row["ratio a"], row["value"], row["state"]) for row in study.trials]


@pytest.mark.parametrize("number", range(20))
def test_any_moment(tiny, tmp_path, number) -> None:
    rng = random.Random(number)
    sampler, race = rng.choice([("sobol", False), ("random", False), ("tpe", False), ("sobol", True)])

    def run(folder: Path) -> Study:
        return explore(tiny.recipe, tiny.tasks, folder=folder, draws=10, seed=4, sampler=sampler, race=race, threads=1)  # type: ignore[arg-type]

    began = time.perf_counter()
    whole = run(tmp_path / "whole")
    usual = time.perf_counter() - began
    for _ in range(rng.choice([1, 2])):
        killed(tiny, tmp_path / "s", sampler, race, rng.uniform(0.0, usual))
    again = run(tmp_path / "s")
    assert rows(again) == rows(whole)
    assert again.best["number"] == whole.best["number"]
    assert again.summary["test"] == whole.summary["test"]
