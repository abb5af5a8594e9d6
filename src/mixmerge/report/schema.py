"""What a report is made of: the shape of report.json, version 1, field by field (in prose:
docs/report-schema.md).

A summary is plain JSON data: mappings, lists, strings, finite numbers, booleans and null. Scores are means of a task's
metric; `objective`, where it stands for a task's name, is the weighted mean over the tasks, and larger is better. This
file knows no study, no checking and no pages.
"""

from __future__ import annotations

from typing import Final, Literal, NotRequired, TypedDict

VERSION: Final = 1
"""Rises when a reader of the old version would misread the new one; added optional keys do not raise it."""

OBJECTIVE: Final = "objective"
"""Stands for a task's name where a score is the weighted mean over the tasks. No task may have this name."""

WINNER, EQUAL, PLAIN, BASE = "winner", "equal", "plain", "base"
RESERVED: Final = (WINNER, EQUAL, PLAIN, BASE)
"""Names of merges in `test`, `baselines` and `paired`; no source may have such a label."""

Value = str | int | float | bool | None


class Score(TypedDict):
    """A mean over n items. low, high: its 95 % interval, where one was computed."""

    mean: float
    n: int
    low: NotRequired[float]
    high: NotRequired[float]


class Interval(TypedDict):
    """A mean over n items with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


class Spread(TypedDict):
    """Mean and standard deviation over n draws."""

    mean: float
    sd: float
    n: int


class Task(TypedDict):
    """What is measured. validation_n, test_n: items in each split.

    goal: whether larger is better (default `maximize`). unit: `fraction` is shown in percent (default), `number` as it
    is. chance: the score of guessing, where known. ood: whether it is out of distribution (default no).
    """

    metric: str
    weight: float
    validation_n: int
    test_n: int
    goal: NotRequired[Literal["maximize", "minimize"]]
    unit: NotRequired[Literal["fraction", "number"]]
    chance: NotRequired[float]
    ood: NotRequired[bool]


class Law(TypedDict):
    """Where ratios come from. alpha: one number for each of `sources`, the labels in the order of the ratio."""

    kind: Literal["beta", "dirichlet"]
    alpha: list[float]
    sources: list[str]


class Seconds(TypedDict):
    """Wall time of one trial's two halves."""

    merge: float
    evaluate: float


class Trial(TypedDict):
    """One draw. ratio: one number a source, in the order of law.sources, sum 1; null where the scope has several
    groups, and then `ratios` holds one such list for each group. (A trial that failed before it drew has neither.)

    state: `pruned` was dropped early by racing, its scores are over fewer items. validation: by task; empty where
    nothing was scored. objective: null unless complete or pruned. error: why it failed, else null. parameters: what
    else varied (method, density, drop_rate, scale, alpha), else empty.
    """

    number: int
    ratio: list[float] | None
    ratios: NotRequired[dict[str, list[float]] | None]
    seed: int
    state: Literal["complete", "failed", "pruned", "running"]
    validation: dict[str, Score]
    objective: float | None
    error: str | None
    seconds: Seconds | None
    parameters: dict[str, Value]


class Paired(TypedDict):
    """Mean of (a minus b) over the same n test items, with its 95 % interval. a, b: names of `test`.

    In the metric's own unit: where the task is minimised, a negative difference is good for a.
    """

    a: str
    b: str
    task: str
    difference: float
    low: float
    high: float
    n: NotRequired[int]


class Optimism(TypedDict):
    """The winner's score where it was chosen and where it was not; difference = validation - test."""

    validation: float
    test: float
    difference: float


class Verdict(TypedDict):
    """The outcome in words. strength compares the winner with the equal ratio, on the test objective:

    `better` or `worse`: the interval of the paired difference excludes 0 (checked); `unclear`: it does not;
    `pending`: not tested yet.
    """

    sentence: str
    strength: Literal["better", "unclear", "worse", "pending"]


class Model(TypedDict):
    """A model that went in. label: its short name, for a source as in law.sources or a part of it."""

    label: str
    path: str
    role: Literal["source", "base"]


class Costs(TypedDict):
    """What it took. items: item evaluations done; items_saved: spared by racing; wall_seconds: start to end."""

    merge_seconds: float
    evaluate_seconds: float
    draws: int
    items: int
    items_saved: int
    wall_seconds: NotRequired[float]


class Cell(TypedDict):
    """One cell of a grid. single: draws taken one at a time; best: the draw chosen on validation, on test items."""

    single: Spread | None
    best: Interval | None


class Grid(TypedDict):
    """A table of ways to merge, as the paper's two-by-two. cells: a list a row, in the order of rows and columns."""

    title: str
    rows: list[str]
    columns: list[str]
    cells: list[list[Cell]]
    note: NotRequired[str]
    unit: NotRequired[Literal["fraction", "number"]]


class OutOfDistribution(TypedDict):
    """What was proved on tasks unlike those of the objective. test, paired: as in a study, of these tasks.

    A task with a weight above 0 is in the objective too, and then in the study's own `tasks`; others chose nothing.
    """

    tasks: dict[str, Task]
    test: dict[str, dict[str, Interval]]
    paired: list[Paired]


class Drop(TypedDict):
    """A performance drop rate, 1 - attacked / clean accuracy, at most 1, or a difference of two; 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


class Search(TypedDict):
    """One search for a bad prompt. seed: null where the attack draws nothing. accuracy: under the prompt it found.

    queries: prompts it looked at beside the clean one.
    """

    seed: int | None
    prompt: str
    accuracy: float
    queries: int


class Attacked(TypedDict):
    """One merge under one attack. attacked: mean over the searches. pdr: null where clean accuracy is 0."""

    clean: Interval
    attacked: Interval
    pdr: Drop | None
    searches: list[Search]


class DropDifference(TypedDict):
    """PDR of a minus PDR of b on the same examples, with its 95 % interval; below 0 is good for a."""

    a: str
    b: str
    difference: float
    low: float
    high: float
    n: int


class Attack(TypedDict):
    """One attack on one task's prompt, on the same test examples for every merge. Accuracies are in [0, 1].

    labels: answers as a model writes them. queries: allowed to one search. seeds: one search each; empty where the
    attack draws nothing. weight: of 1 - PDR in the objective, 0 where it chose nothing. merges: by name, as in `test`.
    """

    attack: str
    task: str
    prompt: str
    labels: list[str]
    examples: int
    queries: int
    seeds: list[int]
    weight: float
    merges: dict[str, Attacked]
    paired: list[DropDifference]


class Study(TypedDict):
    """One study, finished or running. In a running one `winner`, `recipe`, `command` may be null, `test`, `paired`,
    `optimism` empty.

    sampler: random, sobol, tpe, gp, cmaes. method: as in the recipe. baselines: like `test`, on the validation split.
    spread: over complete and pruned draws, on validation items that all of them answered. recipe: canonical YAML of the
    winner. command: rebuilds the winner.
    """

    name: str
    state: Literal["running", "finished"]
    seed: int
    sampler: str
    method: str
    scope: Literal["model", "layer", "block", "tensor"]
    law: Law
    tasks: dict[str, Task]
    trials: list[Trial]
    winner: int | None
    test: dict[str, dict[str, Interval]]
    paired: list[Paired]
    spread: dict[str, Spread]
    optimism: dict[str, Optimism]
    verdict: Verdict
    recipe: str | None
    command: str | None
    costs: Costs
    environment: dict[str, Value]
    dialect: NotRequired[str]
    created: NotRequired[str]
    models: NotRequired[list[Model]]
    baselines: NotRequired[dict[str, dict[str, Score]]]
    grids: NotRequired[list[Grid]]
    notes: NotRequired[list[str]]
    ood: NotRequired[OutOfDistribution]
    attacks: NotRequired[list[Attack]]


class SingleReport(Study):
    """report.json of one study: the study's keys and the version, side by side."""

    version: int


class MultiReport(TypedDict):
    """report.json of several studies on one page, as the demo's. grids, notes: about all of them."""

    version: int
    title: str
    studies: list[Study]
    environment: dict[str, Value]
    intro: NotRequired[str]
    created: NotRequired[str]
    grids: NotRequired[list[Grid]]
    notes: NotRequired[list[str]]
