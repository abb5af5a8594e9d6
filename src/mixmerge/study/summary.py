"""From what lies in a study's folder to the content of report.json. Reads records and item scores; scores nothing."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mixmerge.evaluation import Estimate, spread
from mixmerge.recipe import canonical, parse_recipe, with_overrides
from mixmerge.report import schema
from mixmerge.study import items, terms, verdict
from mixmerge.study.identity import Identity
from mixmerge.study.items import Floats, Found, trial_name
from mixmerge.study.session import best_of, objective_of, weighted
from mixmerge.study.space import Point, with_values
from mixmerge.study.storage import Recorded

OBJECTIVE: Final = schema.OBJECTIVE
STATES: Final = {"complete": "complete", "dropped": "pruned", "failed": "failed", "running": "running"}


@dataclass(frozen=True)
class Records:
    """All that is known of a study. identity: study.json."""

    folder: Path
    identity: Identity
    trials: Sequence[Recorded]

    @property
    def weights(self) -> dict[str, float]:
        """Of the tasks."""
        return {name: task["weight"] for name, task in self.identity["tasks"].items()}

    @property
    def winner(self) -> Recorded | None:
        """The draw chosen on the validation items."""
        return best_of(self.trials, self.weights)

    @property
    def all_failed(self) -> bool:
        """Whether there were draws, and every one failed."""
        return bool(self.trials) and all(trial.state == "failed" for trial in self.trials)

    def merges(self) -> dict[str, str]:
        """Everything that is proved: name in reports -> name of its files. Winner first."""
        winner = {} if self.winner is None else {schema.WINNER: trial_name(self.winner.number)}
        return winner | dict(self.identity["baselines"])

    def scores(self, name: str, split: str) -> dict[str, Floats]:
        """Scores of a model by term of the objective, in the order of item numbers; empty where it was not scored."""
        found = self.all_scores(name, split)
        return {task: found[task] for task in self.weights if task in found}

    def whole_scores(self, name: str, split: str) -> dict[str, Floats]:
        """The same; empty unless every term has a score for each of its items: a proof that was stopped is none."""
        found = self.scores(name, split)
        sizes = {task: self.identity["tasks"][task][f"{split}_n"] for task in self.weights}
        return found if {task: terms.size(task, scores) for task, scores in found.items()} == sizes else {}

    def all_scores(self, name: str, split: str) -> dict[str, Floats]:
        """The same, with what the objective does not look at."""
        return arrays(items.read(items.path_of(self.folder, name, split)))


def arrays(found: Found) -> dict[str, Floats]:
    """Stored scores as arrays in the order of item numbers."""
    return {task: np.array([scores[item] for item in sorted(scores)]) for task, scores in found.items()}


def tables(records: Records, split: str) -> dict[str, dict[str, Estimate]]:
    """Merge -> task and `objective` -> mean and interval, of all that answered every item of a split."""
    found = {}
    for label, name in records.merges().items():
        scores = records.whole_scores(name, split)
        if scores:
            found[label] = estimates_of(records, scores)
    return found


def estimates_of(records: Records, scores: Mapping[str, Floats]) -> dict[str, Estimate]:
    """The same of one model's scores. What a person's own function says is one number, with no interval."""
    if _is_custom(records.identity):
        ((task, values),) = scores.items()
        bare = Estimate(float(values[0]), float(values[0]), float(values[0]), 1)
        return {task: bare, OBJECTIVE: bare}
    return estimates(scores, records.weights, records.identity["seed"])


def estimates(scores: Mapping[str, Floats], weights: Mapping[str, float], seed: int) -> dict[str, Estimate]:
    """By task, and the objective, of item scores in [0, 1]."""
    by_task = {task: terms.estimate(task, values, seed=seed) for task, values in scores.items()}
    return by_task | {OBJECTIVE: terms.objective(scores, weights, seed=seed)}


def _is_custom(identity: Identity) -> bool:
    return any(task["metric"] == "custom" for task in identity["tasks"].values())


def paired(records: Records) -> list[schema.Paired]:
    """The winner minus every baseline, by task and for the objective, on the test items."""
    merges = records.merges()
    if schema.WINNER not in merges:
        return []
    winner = records.whole_scores(merges.pop(schema.WINNER), "test")
    found: list[schema.Paired] = []
    for label, name in merges.items():
        other = records.whole_scores(name, "test")
        if winner and other:
            found += [paired_row(label, task, one) for task, one in differences(records, winner, other).items()]
    return found


def differences(records: Records, a: Mapping[str, Floats], b: Mapping[str, Floats]) -> dict[str, Estimate]:
    """a minus b by task, and of the objective."""
    seed = records.identity["seed"]
    by_task = {task: terms.difference(task, a[task], b[task], seed=seed) for task in a}
    return by_task | {OBJECTIVE: terms.objective_difference(a, b, records.weights, seed=seed)}


def paired_row(label: str, task: str, found: Estimate) -> schema.Paired:
    return {
        "a": schema.WINNER, "b": label, "task": task,
        "difference": found.mean, "low": found.low, "high": found.high, "n": found.n,
    }  # fmt: skip


def summary(records: Records) -> schema.SingleReport:
    """The content of report.json."""
    identity, winner = records.identity, records.winner
    test, chosen = tables(records, "test"), tables(records, "validation")
    recipe, command = rebuild(records)
    return {
        "version": schema.VERSION,
        "name": " + ".join(identity["sources"]),
        "state": "finished" if _ended(records, schema.WINNER in test) else "running",
        "created": identity["created"],
        "seed": identity["seed"],
        "sampler": identity["sampler"],
        "method": identity["method"],
        "dialect": identity["dialect"],
        "scope": identity["scope"],
        "law": _law(identity),
        "models": identity["models"],
        "tasks": {name: task_row(task) for name, task in identity["tasks"].items()},
        "trials": [_trial(records, trial) for trial in records.trials],
        "winner": None if winner is None else winner.number,
        "baselines": {
            label: {task: _score(found) for task, found in row.items()}
            for label, row in chosen.items()
            if label != schema.WINNER
        },
        "test": {label: {task: interval_row(found) for task, found in row.items()} for label, row in test.items()},
        "paired": paired(records),
        "spread": spreads(records),
        "optimism": _optimism(chosen, test),
        "verdict": _verdict(records, test),
        "recipe": recipe,
        "command": command,
        "costs": _costs(records),
        "environment": {key: str(value) for key, value in identity["versions"].items()},
        "notes": _notes(records),
    }


def _ended(records: Records, proved: bool) -> bool:
    """Whether all draws ended, and what can be proved is proved."""
    if any(trial.state == "running" for trial in records.trials):
        return False
    return proved or records.all_failed or (not _proves(records.identity) and records.winner is not None)


def _proves(identity: Identity) -> bool:
    return any(task["test_n"] for task in identity["tasks"].values())


def _law(identity: Identity) -> schema.Law:
    alpha = identity["alpha"]
    return {
        "kind": "beta" if len(alpha) == 2 else "dirichlet",
        "alpha": list(alpha),
        "sources": list(identity["sources"]),
    }


def task_row(task: Mapping[str, Any]) -> schema.Task:
    found: schema.Task = {
        "metric": task["metric"],
        "weight": task["weight"],
        "validation_n": task["validation_n"],
        "test_n": task["test_n"],
    }
    if task["metric"] == "custom":
        found["unit"] = "number"
    if task.get("ood"):
        found["ood"] = True
    return found


def interval_row(found: Estimate) -> schema.Interval:
    return {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n}


def _score(found: Estimate) -> schema.Score:
    return {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n}


def _trial(records: Records, trial: Recorded) -> schema.Trial:
    outcome = trial.outcome
    groups = records.identity["groups"]
    ratios = {group: list(outcome.point.ratios[group]) for group in groups if group in outcome.point.ratios}
    single = ratios.get(groups[0]) if len(groups) == 1 else None
    means = outcome.scores
    row: schema.Trial = {
        "number": trial.number,
        "ratio": single,
        "seed": records.identity["seed"],
        "state": STATES[outcome.state],  # type: ignore[typeddict-item]
        "validation": {task: {"mean": mean, "n": n} for task, (mean, n) in means.items()},
        "objective": objective_of(means, records.weights),
        "error": outcome.error or None,
        "seconds": {"merge": outcome.seconds[0], "evaluate": outcome.seconds[1]} if outcome.scores else None,
        "parameters": dict(outcome.point.values),
    }
    if len(groups) > 1:
        row["ratios"] = ratios or None
    return row


def spreads(records: Records) -> dict[str, schema.Spread]:
    """Mean and standard deviation over draws of the validation score, from items that every draw answered."""
    scored = [trial for trial in records.trials if trial.state in ("complete", "dropped")]
    if not scored:
        return {}
    if any(trial.state == "dropped" for trial in scored):
        rows = _common(records, scored)
    else:
        rows = [{task: mean for task, (mean, _) in trial.outcome.scores.items()} for trial in scored]
    tasks = [task for task in records.weights if all(task in row for row in rows)]
    found = {task: _spread([row[task] for row in rows]) for task in tasks}
    if len(tasks) == len(records.weights):
        found[OBJECTIVE] = _spread(
            [weighted({task: (mean, 0) for task, mean in row.items()}, records.weights) for row in rows]
        )
    return found


def _spread(values: Sequence[float]) -> schema.Spread:
    found = spread(values)
    return {"mean": found.mean, "sd": found.sd, "n": found.n}


def _common(records: Records, scored: Sequence[Recorded]) -> list[dict[str, float]]:
    """Task means of each draw over the items that every one of them answered."""
    answered = [items.read(items.path_of(records.folder, trial_name(trial.number), "validation")) for trial in scored]
    shared = {task: set.intersection(*(set(found.get(task, ())) for found in answered)) for task in records.weights}
    return [
        {task: items.mean({item: found[task][item] for item in chosen}) for task, chosen in shared.items() if chosen}
        for found in answered
    ]


def _optimism(
    chosen: Mapping[str, Mapping[str, Estimate]], test: Mapping[str, Mapping[str, Estimate]]
) -> dict[str, schema.Optimism]:
    if schema.WINNER not in chosen or schema.WINNER not in test:
        return {}
    before, after = chosen[schema.WINNER], test[schema.WINNER]
    return {
        task: {
            "validation": before[task].mean,
            "test": after[task].mean,
            "difference": before[task].mean - after[task].mean,
        }
        for task in after
    }


def _verdict(records: Records, test: Mapping[str, Mapping[str, Estimate]]) -> schema.Verdict:
    merges = records.merges()
    if records.all_failed:
        said = f"Nothing was chosen: all {len(records.trials)} draws failed. The trial table says why."
        return {"sentence": said, "strength": "pending"}
    if not _proves(records.identity):
        said = "A score of one's own gives one number a model: nothing can be said about chance."
        return {"sentence": said, "strength": "pending"}
    if schema.WINNER not in test or schema.EQUAL not in test:
        return {"sentence": "Not tested yet: the study has not ended.", "strength": "pending"}
    winner = records.scores(merges[schema.WINNER], "test")

    def against(label: str) -> Estimate:
        return differences(records, winner, records.scores(merges[label], "test"))[OBJECTIVE]

    equal = against(schema.EQUAL)
    also = [name for name in records.identity["vary"] if name != "alpha"]  # of which a merge shows nothing
    proved = (test[schema.WINNER][OBJECTIVE], test[schema.EQUAL][OBJECTIVE], equal)
    sentences = [verdict.sentence(*proved, chosen="draw" if also else "ratio")]
    parent = best_parent(records)
    if parent is not None and parent in test:
        sentences.append(verdict.against_parent(parent, test[parent][OBJECTIVE], against(parent)))
    if also:
        sentences.append(f"The winner differs from the equal ratio in {' and '.join(also)} too.")
    return {"sentence": " ".join(sentences), "strength": verdict.strength_of(equal)}


def best_parent(records: Records) -> str | None:
    """The parent with the best objective on the validation items; the first of equals."""
    chosen = tables(records, "validation")
    parents = [label for label in records.merges() if label in chosen and label not in schema.RESERVED]
    return max(parents, key=lambda label: chosen[label][OBJECTIVE].mean, default=None)


def not_proved(records: Records, test: Mapping[str, Mapping[str, Estimate]]) -> str | None:
    """What is to be said of a winner that is not proved; None where it is. test: its table."""
    why = "the study was stopped before its proof had ended"
    if not _proves(records.identity):
        why = "a score of one's own has none"
    elif schema.WINNER in test and schema.EQUAL in test:
        return None
    return f"This choice is not proved on test items: {why}, so how much of it is chance is not known."


def rebuild(records: Records) -> tuple[str | None, str | None]:
    """Recipe and command that make the winner again, in the folder that it lies in; None before there is one."""
    winner = records.winner
    if winner is None:
        return None, None
    command = export_command(os.path.basename(os.path.abspath(records.folder)), winner.number)
    return recipe_of(records.identity, winner.outcome.point), command


def export_command(folder: str, trial: int) -> str:
    """What a person types to have a draw as a model. folder: of the study, as it is called there."""
    return f"mixmerge export {shlex.quote(folder)} OUT --trial {trial}"


def recipe_of(identity: Identity, point: Point) -> str:
    """The canonical recipe with a point's ratio in it, or its ratio for each group where several were drawn."""
    recipe = with_values(parse_recipe(identity["recipe"]), point.values)
    drawn = {group: point.ratios[group] for group in identity["groups"]}
    (first, *more) = drawn.values()
    return canonical(with_overrides(recipe, ratio=drawn if more else first))


def _costs(records: Records) -> schema.Costs:
    outcomes = [trial.outcome for trial in records.trials]
    return {
        "merge_seconds": sum(outcome.seconds[0] for outcome in outcomes),
        "evaluate_seconds": sum(outcome.seconds[1] for outcome in outcomes),
        "draws": sum(outcome.state != "running" for outcome in outcomes),
        "items": sum(n for outcome in outcomes for _, n in outcome.scores.values()),
        "items_saved": sum(outcome.saved for outcome in outcomes),
    }


def _notes(records: Records) -> list[str]:
    notes = list(records.identity["notes"])
    looks = len(list((records.folder / items.FOLDER).glob("trial-*.test.jsonl")))
    if looks > 1:
        notes.append(f"The test items were looked at for {looks} winners: the study was extended after a proof.")
    failed = sum(trial.state == "failed" for trial in records.trials)
    if failed:
        notes.append(f"{failed} of {len(records.trials)} draws failed; their errors are in the trial table.")
    if any(not trial.outcome.direct for trial in records.trials):
        notes.append(
            "Transformers names or joins tensors of this model otherwise than checkpoints do, so every draw went "
            "through a temporary checkpoint on disk."
        )
    return notes
