"""Summaries for the tests. ALL NUMBERS ARE MADE UP: a formula with noise, no model was merged or scored for them."""

from __future__ import annotations

import math
import random
from typing import Any

TASKS = {"add": 0.62, "sort": 0.55}
VALIDATION, TEST = 200, 300


def interval(mean: float, n: int = TEST) -> dict[str, Any]:
    """A score with a normal interval."""
    half = 1.96 * math.sqrt(max(mean * (1 - mean), 1e-4) / n)
    return {"mean": mean, "low": max(0.0, mean - half), "high": min(1.0, mean + half), "n": n}


def task(n: int = VALIDATION) -> dict[str, Any]:
    """A task scored by exact match."""
    return {"metric": "exact match", "weight": 1.0, "validation_n": n, "test_n": TEST}


def score(share: float, place: int, tasks: int, rng: random.Random) -> float:
    """Rises with the expert's share, with a bonus for company, and noise; in steps of one item."""
    fair = 1 / (1 + math.exp(-8 * (share - (0.6 + 0.4 * place) / tasks)))
    value = 0.06 + 0.86 * fair + rng.gauss(0, 0.02)
    return round(min(max(value, 0.0), 0.97) * VALIDATION) / VALIDATION


def ratio(alpha: float, sources: int, rng: random.Random) -> list[float]:
    """A Dirichlet draw in units of a millionth."""
    parts = [rng.gammavariate(alpha, 1.0) + 1e-12 for _ in range(sources)]
    units = [round(part / sum(parts) * 1_000_000) for part in parts]
    units[units.index(max(units))] += 1_000_000 - sum(units)
    return [unit / 1_000_000 for unit in units]


def trials(names: list[str], count: int, rng: random.Random) -> list[dict[str, Any]]:
    """Complete draws, a source a task."""
    made = []
    for number in range(count):
        drawn = ratio(0.5, len(names), rng)
        scores = {name: {"mean": score(drawn[i], i, len(names), rng), "n": VALIDATION} for i, name in enumerate(names)}
        made.append(
            {
                "number": number,
                "ratio": drawn,
                "seed": rng.randrange(2**31),
                "state": "complete",
                "validation": scores,
                "objective": sum(entry["mean"] for entry in scores.values()) / len(scores),
                "error": None,
                "seconds": {"merge": 0.4 + rng.random() / 10, "evaluate": 1.9 + rng.random()},
                "parameters": {},
            }
        )
    return made


def spread(done: list[dict[str, Any]], names: list[str]) -> dict[str, Any]:
    """Mean and sd of each score over the draws."""
    columns = {name: [trial["validation"][name]["mean"] for trial in done] for name in names}
    columns["objective"] = [trial["objective"] for trial in done]
    found = {}
    for name, values in columns.items():
        mean = sum(values) / len(values)
        sd = math.sqrt(sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1))
        found[name] = {"mean": mean, "sd": sd, "n": len(values)}
    return found


def study(names: tuple[str, ...] = ("add", "sort"), count: int = 16, seed: int = 2) -> dict[str, Any]:
    """A finished study of experts for these tasks."""
    rng = random.Random(seed)
    tasks = list(names)
    done = trials(tasks, count, rng)
    best = max(done, key=lambda trial: (trial["objective"], -trial["number"]))
    labels = [f"{name}-expert" for name in names]

    def tested(values: list[float], n: int) -> dict[str, Any]:
        scores = {name: interval(value, n) for name, value in zip(tasks, values, strict=True)}
        return scores | {"objective": interval(sum(values) / len(values), n * len(values))}

    won = [max(best["validation"][name]["mean"] - 0.018, 0.0) for name in tasks]
    equal = [max(value - 0.031, 0.0) for value in won]
    parents = {
        label: [0.94 if index == own else 0.05 + 0.02 * index for index in range(len(tasks))]
        for own, label in enumerate(labels)
    }
    merges = {"winner": won, "equal": equal, **parents, "base": [0.12] * len(tasks)}
    paired = [
        {"a": "winner", "b": other, "task": name, "difference": difference, "low": difference - half,
         "high": difference + half, "n": TEST}
        for name, half in (("objective", 0.035), *((name, 0.05) for name in tasks))
        for other, difference in (
            (other, sum(won) / len(won) - sum(values) / len(values) if name == "objective"
             else won[tasks.index(name)] - values[tasks.index(name)])
            for other, values in merges.items() if other != "winner"
        )
    ]  # fmt: skip
    optimism = {
        name: {"validation": best["validation"][name]["mean"], "test": value,
               "difference": best["validation"][name]["mean"] - value}
        for name, value in zip(tasks, won, strict=True)
    }  # fmt: skip
    mean = sum(won) / len(won)
    optimism["objective"] = {"validation": best["objective"], "test": mean, "difference": best["objective"] - mean}
    shares = ", ".join(f"{part:g}" for part in best["ratio"])
    return {
        "name": " + ".join(tasks) + ", ties",
        "state": "finished",
        "created": "2026-01-31T12:00:00Z",
        "seed": seed,
        "sampler": "random",
        "method": "ties",
        "dialect": "paper",
        "scope": "model",
        "law": {"kind": "beta" if len(names) == 2 else "dirichlet", "alpha": [0.5] * len(names), "sources": labels},
        "models": [
            *({"label": label, "path": f"zoo/{label}", "role": "source"} for label in labels),
            {"label": "base", "path": "zoo/base", "role": "base"},
        ],
        "tasks": {name: task() for name in tasks},
        "trials": done,
        "winner": best["number"],
        "baselines": {merge: tested([v + 0.01 for v in values], VALIDATION) for merge, values in merges.items()},
        "test": {merge: tested(values, TEST) for merge, values in merges.items()},
        "paired": paired,
        "spread": spread(done, tasks),
        "optimism": optimism,
        "verdict": {
            "sentence": f"The drawn ratio scored {100 * mean:.1f} % on test, 3.1 points above the equal ratio; "
            "with so few items that difference is not certain.",
            "strength": "unclear",
        },
        "recipe": "merge_method: ties\ndialect: paper\nbase_model: zoo/base\nmodels:\n"
        + "".join(f"- model: zoo/{label}\n" for label in labels)
        + f"parameters: {{density: 0.5, scale: 1.0}}\nmixup: {{ratio: [{shares}], scope: model}}\n",
        "command": "mixmerge export demo-study merged",
        "costs": {
            "merge_seconds": 7.2,
            "evaluate_seconds": 38.4,
            "draws": count,
            "items": count * VALIDATION * len(tasks),
            "items_saved": 0,
            "wall_seconds": 51.0,
        },
        "environment": {"mixmerge": "0.1.0", "python": "3.11.7", "platform": "Linux x86-64", "cpus": 2},
    }


def single(**changes: Any) -> dict[str, Any]:
    """report.json of one study of two sources, with a failed, a pruned and a running trial among the rest."""
    made = study()
    made["trials"][5] |= {"state": "pruned", "validation": {"add": {"mean": 0.35, "n": 40}}, "objective": 0.35}
    failed = {"state": "failed", "validation": {}, "objective": None, "seconds": None}
    made["trials"][3] |= failed | {"error": "NonFiniteError: model.layers.0.mlp.down_proj.weight of add-expert is NaN"}
    if made["winner"] in (3, 5):
        raise AssertionError("the winner must stay complete")
    done = [trial for trial in made["trials"] if trial["state"] == "complete"]
    return {"version": 1, **made, "spread": spread(done, list(made["tasks"])), **changes}


def three(count: int = 32) -> dict[str, Any]:
    """report.json of one study of three sources."""
    return {"version": 1, **study(("add", "sort", "flip"), count, 7)}


def four(count: int = 32) -> dict[str, Any]:
    """report.json of one study of four sources."""
    return {"version": 1, **study(("add", "sort", "flip", "copy"), count, 11)}


def named() -> dict[str, Any]:
    """`four`, its sources called as models are: long, and alike up to the end."""
    long = "some-organisation__a-model-with-a-long-name-7B-instruct-v0.3-dpo-2026-"

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {renamed(key): renamed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [renamed(item) for item in value]
        return long + value if isinstance(value, str) and value.endswith("-expert") else value

    made: dict[str, Any] = renamed(four(12))
    return made


def grouped(count: int = 24) -> dict[str, Any]:
    """report.json of a study with a ratio a block, and density and method varying too; a sampler that learns."""
    made = study(count=count, seed=5)
    rng = random.Random(5)
    for trial in made["trials"]:
        trial["ratio"] = None
        trial["ratios"] = {group: ratio(0.5, 2, rng) for group in ("attention", "mlp", "other")}
        trial["parameters"] = {"density": round(rng.uniform(0.2, 0.9), 3), "method": rng.choice(["ties", "linear"])}
    return {"version": 1, **made, "scope": "block", "sampler": "tpe"}


def running() -> dict[str, Any]:
    """report.json of a study that has only begun."""
    made = study(count=4)
    made["trials"][3] |= {"state": "running", "validation": {}, "objective": None, "seconds": None}
    nothing: dict[str, Any] = {
        "winner": None,
        "test": {},
        "paired": [],
        "optimism": {},
        "recipe": None,
        "command": None,
    }
    verdict = {"sentence": "3 of 16 draws are scored; nothing is tested yet.", "strength": "pending"}
    del made["baselines"]
    return {"version": 1, **made, **nothing, "state": "running", "verdict": verdict}


def crowded() -> dict[str, Any]:
    """`single`, with baselines near the winner in the plane of the two tasks, near its edge and on one another."""
    made = study()
    for trial in made["trials"]:
        own = trial["ratio"][0]
        means = {"add": 0.17 + 0.78 * own**2, "sort": 0.99 * (1 - own**3)}
        scores = {name: {"mean": mean, "n": VALIDATION} for name, mean in means.items()}
        trial |= {"validation": scores, "objective": sum(means.values()) / 2}
    won = made["trials"][made["winner"]]["validation"]
    merges = {
        "equal": (0.59, 0.52), "plain": (0.59, 0.52), "base": (0.65, 0.18),
        "add-expert": (0.945, 0.0), "sort-expert": (won["add"]["mean"] - 0.08, won["sort"]["mean"] + 0.02),
    }  # fmt: skip
    made["baselines"] = {
        merge: {"add": interval(add), "sort": interval(min(sort, 1.0))} for merge, (add, sort) in merges.items()
    }
    return {"version": 1, **made, "spread": spread(made["trials"], list(made["tasks"]))}


def robust() -> dict[str, Any]:
    """report.json of one study with a task out of distribution that chose, one that did not, and two attacks."""
    made = single()
    tasks = {"flip": task() | {"weight": 0.5, "ood": True}, "copy": task() | {"weight": 0.0, "ood": True}}
    made["tasks"]["flip"] = tasks["flip"]
    for trial in made["trials"]:
        if trial["state"] == "complete":
            trial["validation"]["flip"] = {"mean": 0.3, "n": VALIDATION}
    means = {"winner": 0.42, "equal": 0.33, "add-expert": 0.3, "sort-expert": 0.21, "base": 0.12}
    made["ood"] = {
        "tasks": tasks,
        "test": {merge: {"flip": interval(mean), "copy": interval(1 - mean)} for merge, mean in means.items()},
        "paired": [
            {"a": "winner", "b": merge, "task": name, "difference": sign * (means["winner"] - mean),
             "low": sign * (means["winner"] - mean) - 0.08, "high": sign * (means["winner"] - mean) + 0.08, "n": TEST}
            for name, sign in (("flip", 1), ("copy", -1)) for merge, mean in means.items() if merge != "winner"
        ],
    }  # fmt: skip
    made["attacks"] = [attack("stresstest", [], 1.0), attack("deepwordbug", [0, 1, 2], 0.0)]
    return made


def attack(name: str, seeds: list[int], weight: float) -> dict[str, Any]:
    """An attack on a prompt; the base model is never right, so it has nothing to lose."""
    clean = {"winner": 0.8, "equal": 0.75, "add-expert": 0.9, "sort-expert": 0.5, "base": 0.0}
    lost = {"winner": 0.1, "equal": 0.25, "add-expert": 0.3, "sort-expert": -0.02, "base": 0.0}
    runs = [
        {"seed": seed, "prompt": "Is it polit? {content} Answer:", "accuracy": 0.5, "queries": 40}
        for seed in seeds or [None]
    ]
    merges = {
        merge: {
            "clean": interval(right, 100),
            "attacked": interval(right * (1 - lost[merge]), 100),
            "pdr": {"mean": lost[merge], "low": lost[merge] - 0.06, "high": lost[merge] + 0.07, "n": 100}
            if right else None,
            "searches": runs,
        }
        for merge, right in clean.items()
    }  # fmt: skip
    differences = {merge: lost["winner"] - lost[merge] for merge in ("equal", "add-expert", "sort-expert")}
    return {
        "attack": name, "task": "polite", "prompt": "Is it polite? {content} Answer:", "labels": [" no", " yes"],
        "examples": 100, "queries": 100, "seeds": seeds, "weight": weight, "merges": merges,
        "paired": [
            {"a": "winner", "b": merge, "difference": found, "low": found - 0.09, "high": found + 0.09, "n": 100}
            for merge, found in differences.items()
        ],
    }  # fmt: skip


def several() -> dict[str, Any]:
    """report.json of three studies and the paper's two-by-two."""
    pairs = [("add", "sort"), ("add", "flip"), ("sort", "flip")]
    studies = [study(pair, 16, seed) for seed, pair in enumerate(pairs, 1)]
    cell = {"single": {"mean": 0.512, "sd": 0.094, "n": 16}, "best": interval(0.66, 600)}
    plain = {"single": {"mean": 0.58, "sd": 0.0, "n": 1}, "best": interval(0.58, 600)}
    grid = {
        "title": "With and without DARE, with and without M³",
        "rows": ["ties", "DARE + ties"],
        "columns": ["equal ratio", "M³"],
        "cells": [[plain, cell], [plain, cell]],
        "note": "Means over three pairs.",
    }
    return {
        "version": 1,
        "title": "Merging three little experts, two at a time",
        "intro": "Made up for the tests: no model was merged for these numbers.",
        "created": "2026-01-31T12:00:00Z",
        "environment": {"mixmerge": "0.1.0", "python": "3.11.7"},
        "studies": studies,
        "grids": [grid],
    }
