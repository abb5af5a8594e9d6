"""Samplers over the storage alone: whoever is stopped and goes on draws what an uninterrupted study draws."""

from __future__ import annotations

import importlib
import logging.handlers
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mixmerge.mixup import RatioLaw
from mixmerge.study.samplers import FIRST, make_sampler
from mixmerge.study.space import Space
from mixmerge.study.storage import Outcome, Storage

TRIALS = FIRST + 5
PAIR = Space(RatioLaw((0.5, 0.5)), ("model",), (), {})
GROUPS = Space(RatioLaw((0.5, 0.5)), ("attention", "mlp", "other"), (), {})
TRIPLE = Space(RatioLaw((0.5, 0.5, 0.5)), ("model",), (), {})


def drawn(
    folder: Path, sampler: str, space: Space, objectives: int, deaths: Mapping[int, int], url: str | None
) -> list:
    """Coordinates of all trials. deaths: trial -> how often the process died after it had asked for it."""
    folder.mkdir()

    def opened() -> Storage:
        chooser = make_sampler(sampler, space.names, 3, objectives=objectives)
        return Storage(folder, url, "study", space, chooser, objectives)

    storage, found = opened(), []
    for number in range(TRIALS):
        asked = storage.ask()
        for _ in range(deaths.get(number, 0)):
            storage.close()
            storage = opened()
            (asked,) = storage.left_running()
        score = sum((u - 0.3) ** 2 * (place + 1) for place, u in enumerate(asked.coordinates))
        values = (-score, asked.coordinates[0])[:objectives]
        storage.tell(asked, Outcome("complete", space.point(asked.coordinates), {"t": (-score, 5)}, values))
        found.append(asked.coordinates)
    storage.close()
    return found


@pytest.mark.parametrize(
    ("sampler", "space", "objectives"),
    [("random", PAIR, 1), ("sobol", GROUPS, 1), ("tpe", PAIR, 1), ("tpe", GROUPS, 2), ("cmaes", TRIPLE, 1),
     ("cmaes", GROUPS, 1)],
)  # fmt: skip
@pytest.mark.parametrize("database", [False, True])
def test_deaths_change_no_draw(tmp_path, sampler, space, objectives, database) -> None:
    url = f"sqlite:///{tmp_path}/studies.db" if database else None
    deaths = {2: 1, FIRST + 1: 1, FIRST + 2: 2, FIRST + 4: 1}
    whole = drawn(tmp_path / "whole", sampler, space, objectives, {}, None)
    assert drawn(tmp_path / "died", sampler, space, objectives, deaths, url) == whole
    assert len(set(whole)) == TRIALS


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_samplers_that_learn_begin_with_even_draws(tmp_path, sampler) -> None:
    even = drawn(tmp_path / "even", "sobol", TRIPLE, 1, {}, None)
    learnt = drawn(tmp_path / "learnt", sampler, TRIPLE, 1, {}, None)
    assert learnt[:FIRST] == even[:FIRST]
    assert not set(learnt[FIRST:]) & set(even)


def test_a_package_that_it_does_without_is_not_advertised(tmp_path, monkeypatch) -> None:
    """Optuna says at the first draw of `gp` that proposals are slow without greenlet: not with a few coordinates."""
    drawn(tmp_path / "study", "gp", PAIR, 1, {}, None)
    monkeypatch.setitem(sys.modules, "greenlet", None)
    monkeypatch.delitem(sys.modules, "optuna._gp.batched_lbfgsb")
    heard = logging.handlers.BufferingHandler(100)
    logger = logging.getLogger("optuna")
    logger.addHandler(heard)
    try:
        importlib.import_module("optuna._gp.batched_lbfgsb")
    finally:
        logger.removeHandler(heard)
    assert [record.getMessage() for record in heard.buffer if "greenlet" in record.getMessage()] == []
