"""Attacks in a study: what was asked for, made ready once a process, and one model under all of them.

The attacks themselves are of `evaluation.attacks`. Examples are taken as `mixmerge attack` takes them; where the
objective looks at attacks too, as many others are for choosing. It knows a model in memory; it knows no merging.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from mixmerge.errors import Problem
from mixmerge.evaluation import LiveModel, TaskError
from mixmerge.evaluation.attacks import ATTACKS
from mixmerge.evaluation.attacks.bertattack import BertAttack
from mixmerge.evaluation.attacks.checklist import STRINGS
from mixmerge.evaluation.attacks.classify import Classifier
from mixmerge.evaluation.attacks.examples import Example
from mixmerge.evaluation.attacks.masked_lm import MaskedLM
from mixmerge.evaluation.attacks.request import LIMIT, QUERIES, SEEDS, Prepared, Request, prepared
from mixmerge.evaluation.attacks.run import attack_model
from mixmerge.evaluation.attacks.search import Victim
from mixmerge.evaluation.attacks.stresstest import SENTENCES
from mixmerge.evaluation.attacks.table import Find
from mixmerge.study.items import Floats, Indices
from mixmerge.study.terms import PREFIX

WEIGHT: Final = "pdr"
"""The name under which a weight puts attacks into the objective."""

_SENTENCES: Final = {"stresstest": len(SENTENCES), "checklist": STRINGS}
"""What attacks that append have to try."""

_OPTION: Final = re.compile(r"--(limit|queries|seeds|task)\b")


@final
@dataclass(frozen=True, slots=True)
class AttackSettings:
    """Plain values, so that they travel. tasks: as the person named them. data, masked_lm: folders.

    choosing: whether the objective looks at attacks that append sentences.
    """

    attacks: tuple[str, ...]
    tasks: tuple[str, ...]
    prompt: str | None = None
    data: str | None = None
    limit: int = LIMIT
    queries: int = QUERIES
    seeds: tuple[int, ...] = SEEDS
    masked_lm: str | None = None
    choosing: bool = False


@final
@dataclass(frozen=True, slots=True)
class Assault:
    """One attack on one task. ready: with the test examples. choosing: examples for the draws, none where not asked.

    name: of the term in the objective, and of the stored scores.
    """

    name: str
    attack: str
    ready: Prepared
    choosing: tuple[Example, ...]
    settings: AttackSettings

    @property
    def task(self) -> str:
        """Name of the attacked task."""
        return self.ready.data.task

    @property
    def prompts(self) -> int:
        """At most so many prompts are looked at in one search, beside the clean one."""
        return min(self.settings.queries, _SENTENCES.get(self.attack, self.settings.queries))

    def rows(self, split: str) -> tuple[Example, ...]:
        """Its examples of `validation` or `test`."""
        return self.choosing if split == "validation" else self.ready.data.rows

    def indices(self, split: str) -> Indices:
        """Numbers of its stored scores: two an example."""
        return np.arange(2 * len(self.rows(split)), dtype=np.int64)


@final
@dataclass(frozen=True, slots=True)
class Attacked:
    """One model under one attack. scores: clean and attacked, alternating, the latter a mean over the seeds.

    runs: seed, prompt found, accuracy under it and queries of each search, as JSON values.
    """

    scores: Floats
    runs: tuple[dict[str, Any], ...]


def is_appending(attack: str) -> bool:
    """Whether an attack only appends sentences, so that a draw is asked a few prompts and nothing is searched."""
    return attack in ATTACKS and ATTACKS[attack].candidates is None


def prepare(settings: AttackSettings, model: Path) -> dict[str, Assault]:
    """Every attack on every task by name, checked, with its examples. model: any model of the study.

    Raises TaskError with everything that is wrong, MissingExtraError.
    """
    found: dict[str, Assault] = {}
    problems: dict[tuple[str, str], Problem] = {}
    for attack in settings.attacks:
        for task in settings.tasks:
            try:
                assault = _assault(settings, attack, task, model)
                found[assault.name] = assault
            except TaskError as error:
                problems |= {(one.rule, one.place): _in_our_words(one) for one in error.problems}
    if problems:
        raise TaskError(list(problems.values()))
    return found


def _assault(settings: AttackSettings, attack: str, task: str, model: Path) -> Assault:
    helper = settings.masked_lm if attack == "bertattack" else None
    choosing = settings.choosing and is_appending(attack)
    request = Request(
        models=(str(model),), task=task, attack=attack, data_dir=_path(settings.data),
        limit=(1 + choosing) * settings.limit, queries=settings.queries, seeds=settings.seeds,
        prompt_text=settings.prompt, masked_lm=_path(helper),
    )  # fmt: skip
    ready = prepared(request)
    for found in ready.models:
        found.checkpoint.close()
    rows = ready.data.rows
    test = rows[: -(-len(rows) // 2)] if choosing else rows
    seen = {row.content for row in test}
    others = tuple(row for row in rows[len(test) :] if row.content not in seen)
    if choosing and not others:
        rule, cure = "examples are left for choosing", "give the task more examples, or leave --weight pdr out"
        raise TaskError(Problem(rule, f"{len(rows)} examples in all", f"task {ready.data.task!r}", cure))
    name = f"{PREFIX}{attack} {ready.data.task}"
    return Assault(name, attack, replace(ready, models=(), data=replace(ready.data, rows=test)), others, settings)


def _in_our_words(problem: Problem) -> Problem:
    """`mixmerge attack` has shorter options."""

    def told(text: str) -> str:
        return _OPTION.sub(r"--attack-\1", text).replace("--prompt-text", "--attack-prompt")

    return Problem(told(problem.rule), problem.value, told(problem.place), told(problem.cure))


def under_attack(
    live: LiveModel, assaults: Sequence[Assault], split: str, *, max_rows: int
) -> dict[str, Attacked]:  # fmt: skip
    """A model under these attacks, by name. Prompts that several searches ask for are asked once.

    On validation examples an attack that draws is run with its first seed only.
    """
    victims: dict[str, Victim] = {}
    found = {}
    for assault in assaults:
        if assault.task not in victims:
            labels = assault.ready.data.labels
            victims[assault.task] = Victim(Classifier(live, assault.rows(split), labels, max_rows=max_rows))
        found[assault.name] = _attacked(victims[assault.task], assault, split)
    return found


def _attacked(victim: Victim, assault: Assault, split: str) -> Attacked:
    ready = assault.ready if split == "test" else replace(assault.ready, seeds=assault.ready.seeds[:1])
    runs, clean, _ = attack_model(victim.scores, _finder(assault), ready, assault.settings.queries)
    attacked = np.mean(victim.scores([run.prompt for run in runs]), axis=0)
    told = tuple(
        {"seed": run.seed, "prompt": run.prompt, "accuracy": run.attacked.mean, "queries": run.queries} for run in runs
    )  # fmt: skip
    return Attacked(np.stack([clean, attacked], axis=1).ravel(), told)


def _finder(assault: Assault) -> Find:
    if assault.ready.attack.find is not None:
        return assault.ready.attack.find
    assert assault.settings.masked_lm is not None, "checked before"
    return _bert_attack(assault.settings.masked_lm)


@cache
def _bert_attack(folder: str) -> BertAttack:
    """One a process: its model is large."""
    return BertAttack(MaskedLM.load(Path(folder)))


def notes_of(assaults: Mapping[str, Assault]) -> Iterator[str]:
    """What attacks cost, to be told before anything is scored."""
    for assault in assaults.values():
        drawn = f"{len(assault.choosing)} other examples under {assault.prompts + 1}"
        searches = len(assault.ready.seeds)
        yield (
            f"{assault.attack} on {assault.task}: at the proof each model is asked {len(assault.ready.data.rows)} "
            f"examples under at most {searches * assault.prompts + 1} prompts"
            + (f"; the objective asks every draw {drawn}" if assault.choosing else "")
            + "."
        )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
