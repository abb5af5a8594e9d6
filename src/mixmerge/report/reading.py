"""A study as charts and tables want it: measures with their units, merges in order, trials with their scores.

Nothing here is computed that the study did not state, but for the Pareto front. Knows no markup.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mixmerge.report.schema import BASE, EQUAL, OBJECTIVE, PLAIN, WINNER, Score, Study, Trial, Value

MINUS = "−"
PERCENT = "\u202f%"  # a thin space that does not break
TITLES = {WINNER: "Winner", EQUAL: "Equal ratio", PLAIN: "Without mixup", BASE: "Base model"}
COLOURS = 6  # sources beyond so many share colours


@dataclass(frozen=True, slots=True)
class Measure:
    """A task, or the weighted mean over tasks (`name` is then `objective`), and how its numbers are written."""

    name: str
    title: str
    unit: Literal["fraction", "number"]
    goal: Literal["maximize", "minimize"] = "maximize"
    metric: str = ""
    weight: float = 1.0
    validation_n: int = 0
    test_n: int = 0
    chance: float | None = None

    def number(self, value: float, digits: int = 1) -> str:
        """A score without its unit: percent for fractions."""
        return signless(f"{value * 100:.{digits}f}" if self.unit == "fraction" else f"{value:.4g}")

    def show(self, value: float) -> str:
        """A score with its unit."""
        return self.number(value) + (PERCENT if self.unit == "fraction" else "")

    def tick(self, value: float) -> str:
        """A score at an axis: as short as it goes."""
        return signless(f"{value * 100:.6g}" if self.unit == "fraction" else f"{value:.6g}")

    def delta(self, value: float) -> str:
        """A difference of scores, signed, without its unit."""
        shown = f"{value * 100:+.1f}" if self.unit == "fraction" else f"{value:+.3g}"
        return signless("0.0" if shown in ("+0.0", "-0.0") else "0" if shown in ("+0", "-0") else shown)

    def step(self, value: float) -> str:
        """A difference at an axis: signed and as short as it goes."""
        return signless("0" if value == 0 else f"{value * 100:+.6g}" if self.unit == "fraction" else f"{value:+.6g}")

    @property
    def points(self) -> str:
        """Unit of differences."""
        return "points" if self.unit == "fraction" else ""

    def better(self, a: float, b: float) -> bool:
        """Whether score a is better than b."""
        return a > b if self.goal == "maximize" else a < b

    @property
    def least(self) -> float:
        """An axis shows at least this much, so that noise does not look like a mountain."""
        return 0.04 if self.unit == "fraction" else 0.0


@dataclass(frozen=True, slots=True)
class Merge:
    """A model that was tested: winner, equal, plain, base or a source. mark: its CSS class."""

    name: str
    title: str
    mark: str


def signless(shown: str) -> str:
    """With a real minus sign."""
    return shown.replace("-", MINUS)


def tasks_of(study: Study) -> list[Measure]:
    """The tasks, in their order."""
    return [
        Measure(
            name,
            name,
            task.get("unit", "fraction"),
            task.get("goal", "maximize"),
            task["metric"],
            task["weight"],
            task["validation_n"],
            task["test_n"],
            task.get("chance"),
        )
        for name, task in study["tasks"].items()
    ]


def measures_of(study: Study) -> list[Measure]:
    """The weighted mean first where there is more than one task, then the tasks."""
    tasks = tasks_of(study)
    return tasks if len(tasks) == 1 else [objective_of(study), *tasks]


def objective_of(study: Study) -> Measure:
    """What the winner was chosen by: the weighted mean, or the only task."""
    tasks = tasks_of(study)
    if len(tasks) == 1:
        return tasks[0]
    plain = all(task.unit == "fraction" and task.goal == "maximize" for task in tasks)
    even = len({task.weight for task in tasks}) == 1
    title = "Mean of the tasks" if even else "Weighted mean"
    sizes = (sum(task.validation_n for task in tasks), sum(task.test_n for task in tasks))
    return Measure(OBJECTIVE, title, "fraction" if plain else "number", validation_n=sizes[0], test_n=sizes[1])


def merges_of(study: Study, named: Iterable[str]) -> list[Merge]:
    """Those of the `named` merges, in the order of the report: winner, equal, plain, sources, base."""
    sources = coloured(study)
    order = [WINNER, EQUAL, PLAIN, *sources, BASE]
    present = set(named)
    marks = {label: source_mark(index) for index, label in enumerate(sources)}
    return [Merge(name, TITLES.get(name, name), marks.get(name, f"m-{name}")) for name in order if name in present]


def coloured(study: Study) -> list[str]:
    """What has a colour: the places of a ratio, then the sources that stand with others at one of them."""
    models = [model["label"] for model in study.get("models", []) if model["role"] == "source"]
    return list(dict.fromkeys([*study["law"]["sources"], *models]))


def source_mark(index: int) -> str:
    """CSS class that gives a source its colour."""
    return f"s{index % COLOURS}"


def score_of(trial: Trial, measure: Measure) -> Score | None:
    """A trial's validation score, if it has one."""
    if measure.name != OBJECTIVE:
        return trial["validation"].get(measure.name)
    given = trial["validation"].get(OBJECTIVE)
    if given is not None or trial["objective"] is None:
        return given
    return Score(mean=trial["objective"], n=sum(score["n"] for score in trial["validation"].values()))


def complete(study: Study) -> list[Trial]:
    """Trials scored on all their items."""
    return [trial for trial in study["trials"] if trial["state"] == "complete"]


def scored(study: Study) -> list[Trial]:
    """Complete and pruned trials."""
    return [trial for trial in study["trials"] if trial["state"] in ("complete", "pruned")]


def winner_of(study: Study) -> Trial | None:
    """The chosen trial."""
    return next((trial for trial in study["trials"] if trial["number"] == study["winner"]), None)


def groups_of(trial: Trial) -> dict[str, list[float]]:
    """A trial's ratios by group; one group called `model` where all share one, none if nothing was drawn."""
    if trial["ratio"] is not None:
        return {"model": list(trial["ratio"])}
    return {group: list(parts) for group, parts in (trial.get("ratios") or {}).items()}


def one_ratio(study: Study) -> bool:
    """Whether every trial that drew has a single ratio."""
    return all(trial["ratio"] is not None for trial in study["trials"] if groups_of(trial))


def varying(study: Study) -> list[str]:
    """Parameters beside the ratio that differ between trials, in the order met."""
    seen: dict[str, set[Value]] = {}
    for trial in study["trials"]:
        for name, value in trial["parameters"].items():
            seen.setdefault(name, set()).add(value)
    return [name for name, values in seen.items() if len(values) > 1]


def law_varied(study: Study) -> bool:
    """Whether trials were drawn with an alpha of their own."""
    return "alpha" in varying(study)


def front(points: Mapping[int, tuple[float, float]], goals: Sequence[str]) -> list[int]:
    """Keys of the points that no other beats on both axes, by rising first coordinate."""
    signs = [1.0 if goal == "maximize" else -1.0 for goal in goals]
    best = -math.inf
    kept: list[int] = []
    for key, (x, y) in sorted(points.items(), key=lambda item: (-signs[0] * item[1][0], -signs[1] * item[1][1])):
        if signs[1] * y > best or (kept and points[kept[-1]] == (x, y)):
            best = signs[1] * y
            kept.append(key)
    return sorted(kept, key=lambda key: points[key][0])


def describe(study: Study, trial: Trial) -> str:
    """A trial in a line, for tips: number, ratio, what else varied."""
    drawn = groups_of(trial)
    lines = [f"trial {trial['number']}" + (" (winner)" if trial["number"] == study["winner"] else "")]
    sources = study["law"]["sources"]
    for group, parts in list(drawn.items())[:8]:
        shares = ", ".join(f"{part:.3f} {label}" for part, label in zip(parts, sources, strict=True))
        lines.append(shares if one_ratio(study) else f"{group}: {shares}")
    lines += [f"{name}: {shown(trial['parameters'].get(name))}" for name in varying(study)]
    for measure in measures_of(study):
        score = score_of(trial, measure)
        if score is not None:
            lines.append(f"{measure.title}: {measure.show(score['mean'])} (n = {score['n']})")
    return "\n".join(lines)


def shown(value: Value) -> str:
    """A parameter's value as a person writes it."""
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
