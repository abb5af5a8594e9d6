"""How the ratio is best found on the zoo: samplers and ratio laws at equal budgets, over many seeds.

    python bench/samplers.py OUT [--repeats 10] [--draws 16] [--check]

Every way gets the same number of draws, the same validation items to choose on and the same test items, used for the
chosen ratio only. Seeds are shared: `random` and `sobol` put the same uniform numbers through every law, so laws are
compared pair by pair. A merge in a given ratio is deterministic, so its item scores are kept in OUT and no ratio is
scored twice: a run that was stopped goes on, and other weights of the tasks cost little.

Merging, scoring, splitting, drawing and choosing are the product's; what `mixmerge explore` adds (storage, baselines,
reports) is left out. `--check` runs it too, for one seed of every sampler, and compares. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from mixmerge.evaluation import objective, objective_difference, split
from mixmerge.mixup import RatioLaw
from mixmerge.recipe import canonical, with_overrides
from mixmerge.study import explore
from mixmerge.study.demonstration import BATCH, EXPERTS, pair_recipe, pair_tasks
from mixmerge.study.samplers import make_sampler
from mixmerge.study.space import Point
from mixmerge.study.threads import on_threads
from mixmerge.study.workbench import Job, Setup, Workbench

BETA, UNIFORM = 0.5, 1.0
WAYS = [(sampler, alpha) for alpha in (BETA, UNIFORM) for sampler in ("random", "sobol", "tpe")]
ALPHAS = (0.1, 0.5, 1.0, 2.0, 5.0)
SHARES = (0.5, 0.65, 0.8, 0.9)
"""Weight of the second task in the objective, where the study of weights looks."""

Scores = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """One study.

    ratio: the chosen share of the first expert. validation, test: its objective. single: mean validation objective of
    all draws. shown: whether the interval of winner minus equal ratio on the test items lies above 0.
    """

    ratio: float
    validation: float
    test: float
    single: float
    shown: bool


class Lab:
    """One pair of experts: item scores of any ratio, remembered in a file."""

    def __init__(self, pair: tuple[str, str], out: Path) -> None:
        self.pair, self.tasks = pair, [EXPERTS[name] for name in pair]
        setup = Setup(
            recipe=canonical(pair_recipe(pair, dare=False)), tasks=tuple(pair_tasks(pair)),
            scratch=out / "scratch", batch=BATCH,
        )  # fmt: skip
        self._bench = Workbench(setup)
        parts = {name: split(task, 0.5, 0) for name, task in self._bench.tasks.items()}
        self._items = {
            "validation": {name: part.validation for name, part in parts.items()},
            "test": {name: part.test for name, part in parts.items()},
        }
        self._file = out / ("-".join(pair) + ".jsonl")
        self._known = dict(_read(self._file))

    def scores(self, ratio: Sequence[float], part: str) -> Scores:
        """Scores of the items of a part, by task."""
        key = (tuple(ratio), part)
        if key not in self._known:
            result = self._bench.run(Job("draw", Point({"model": tuple(ratio)}, {}), self._items[part]))
            if result.error:
                raise RuntimeError(result.error)
            self._known[key] = {name: values for name, (_, values) in result.scores.items()}
            _append(self._file, key, self._known[key])
        return self._known[key]

    def close(self) -> None:
        """Let go of the models."""
        self._bench.close()


def _read(file: Path) -> Any:
    """What was scored before. Exact match is 0 or 1, so a row holds one digit an item."""
    lines = file.read_text("utf-8").split("\n")[:-1] if file.is_file() else []
    for row in map(json.loads, lines):
        scores = {name: np.array([float(digit) for digit in digits]) for name, digits in row["scores"].items()}
        yield (tuple(row["ratio"]), row["part"]), scores


def _append(file: Path, key: tuple[tuple[float, ...], str], scores: Scores) -> None:
    digits = {name: "".join(str(int(value)) for value in values) for name, values in scores.items()}
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"ratio": key[0], "part": key[1], "scores": digits}) + "\n")


def study(lab: Lab, sampler: str, alpha: float, seed: int, draws: int, weights: Mapping[str, float]) -> Found:
    """Draw, choose on validation items, prove on test items, as `explore` does."""
    import optuna

    law = RatioLaw((alpha, alpha))
    asked = optuna.create_study(direction="maximize", sampler=make_sampler(sampler, ("u",), seed))
    tried = []
    for _ in range(draws):
        trial = asked.ask()
        ratio = law.ratio([trial.suggest_float("u", 0.0, 1.0)])
        value = _mean(lab.scores(ratio, "validation"), weights)
        asked.tell(trial, value)
        tried.append((value, ratio))
    best, ratio = max(tried, key=lambda one: one[0])
    test, equal = lab.scores(ratio, "test"), lab.scores((0.5, 0.5), "test")
    low = objective_difference(test, equal, weights, seed=seed).low
    return Found(ratio[0], best, _mean(test, weights), float(np.mean([one[0] for one in tried])), low > 0.0)


def _mean(scores: Scores, weights: Mapping[str, float]) -> float:
    return sum(weights[name] * float(values.mean()) for name, values in scores.items()) / sum(weights.values())


def many(lab: Lab, sampler: str, alpha: float, share: float, asked: argparse.Namespace) -> list[Found]:
    """One way, all seeds. share: weight of the second task; the weights sum to 1."""
    weights = dict(zip(lab.tasks, (1.0 - share, share), strict=True))
    return [study(lab, sampler, alpha, seed, asked.draws, weights) for seed in range(asked.repeats)]


def ways_table(lab: Lab, asked: argparse.Namespace) -> None:
    """Samplers and laws, and the equal ratio."""
    equal = objective(lab.scores((0.5, 0.5), "test"), dict.fromkeys(lab.tasks, 1.0))
    print(f"\n{_title(lab)}; equal ratio {_percent(equal.mean)} [{_percent(equal.low)}, {_percent(equal.high)}]\n")
    print("| sampler, law | test score of the chosen | 95 % | chosen ratio | one draw | better than equal |")
    print("|---|---|---|---|---|---|")
    for sampler, alpha in WAYS:
        rows = many(lab, sampler, alpha, 0.5, asked)
        shown = sum(row.shown for row in rows)
        print(
            f"| {sampler}, {_law(alpha)} | {_spread([row.test for row in rows])} | {_interval([r.test for r in rows])} "
            f"| {_range([row.ratio for row in rows])} | {_percent(float(np.mean([row.single for row in rows])))} "
            f"| {shown} of {len(rows)} |",
            flush=True,
        )


def laws_table(lab: Lab, asked: argparse.Namespace) -> None:
    """The paper's law minus uniform ratios, seed by seed."""
    print(f"\n{_title(lab)}: Beta(0.5, 0.5) minus uniform, same seeds\n")
    print("| sampler | points | 95 % | Beta better, alike, uniform better |")
    print("|---|---|---|---|")
    for sampler in ("random", "sobol", "tpe"):
        beta, uniform = (many(lab, sampler, alpha, 0.5, asked) for alpha in (BETA, UNIFORM))
        print(f"| {sampler} | {_compared(beta, uniform)} |", flush=True)


def alphas_table(labs: Sequence[Lab], asked: argparse.Namespace) -> None:
    """Random draws, from ratios near the ends to ratios near the middle."""
    print("\nTest score of the chosen by α, sampler random\n")
    print("| pair | " + " | ".join(f"α = {alpha:g}" for alpha in ALPHAS) + " |")
    print("|---|" + "---|" * len(ALPHAS))
    for lab in labs:
        cells = [_spread([row.test for row in many(lab, "random", alpha, 0.5, asked)]) for alpha in ALPHAS]
        print(f"| {_title(lab)} | " + " | ".join(cells) + " |", flush=True)


def shares_table(labs: Sequence[Lab], asked: argparse.Namespace) -> None:
    """Where one task counts more, the best ratio moves towards an end."""
    print("\nBeta(0.5, 0.5) minus uniform where the second task counts more, sampler random\n")
    print("| pair | weights | chosen by uniform | uniform, test | points | 95 % | better, alike, worse |")
    print("|---|---|---|---|---|---|---|")
    for lab in labs:
        for share in SHARES:
            beta, uniform = (many(lab, "random", alpha, share, asked) for alpha in (BETA, UNIFORM))
            print(
                f"| {_title(lab)} | {1 - share:g} : {share:g} | {_range([row.ratio for row in uniform])} "
                f"| {_spread([row.test for row in uniform])} | {_compared(beta, uniform)} |",
                flush=True,
            )


def _compared(a: Sequence[Found], b: Sequence[Found]) -> str:
    found = [one.test - other.test for one, other in zip(a, b, strict=True)]
    signs = [sum(gain > 0 for gain in found), sum(gain == 0 for gain in found), sum(gain < 0 for gain in found)]
    return f"{100 * float(np.mean(found)):+.2f} | {_interval(found, '+.2f')} | {', '.join(map(str, signs))}"


def _interval(values: Sequence[float], form: str = ".1f") -> str:
    """Student's interval of the mean over seeds. The test items are the same for all seeds."""
    mean, error = float(np.mean(values)), float(stats.sem(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return f"[{100 * (mean - half):{form}}, {100 * (mean + half):{form}}]"


def _spread(values: Sequence[float]) -> str:
    return f"{_percent(float(np.mean(values)))} ± {100 * float(np.std(values, ddof=1)):.1f}"


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _law(alpha: float) -> str:
    return "uniform" if alpha == UNIFORM else f"Beta({alpha:g}, {alpha:g})"


def _title(lab: Lab) -> str:
    return " + ".join(lab.pair)


def check(lab: Lab, out: Path, asked: argparse.Namespace) -> None:
    """The same by `explore`, seed 0 of every sampler. Raises ValueError where it finds otherwise."""
    for sampler in ("random", "sobol", "tpe"):
        made: Any = explore(
            with_overrides(pair_recipe(lab.pair, dare=False), alpha=BETA), pair_tasks(lab.pair),
            folder=out / "check" / f"{'-'.join(lab.pair)}-{sampler}", draws=asked.draws, sampler=sampler, seed=0,
            batch_size=BATCH,
        )  # fmt: skip
        one = study(lab, sampler, BETA, 0, asked.draws, dict.fromkeys(lab.tasks, 1.0))
        theirs = (made.best[f"ratio {lab.pair[0]}"], made.summary["test"]["winner"]["objective"]["mean"])
        if not np.allclose((one.ratio, one.test), theirs, rtol=0.0, atol=1e-12):
            raise ValueError(f"{_title(lab)}, {sampler}: {(one.ratio, one.test)} here, {theirs} by explore")
    print(f"\n{_title(lab)}: explore chose the same ratios and scored the same, seed 0 of every sampler", flush=True)


def main() -> None:
    """Run all, print the tables."""
    import optuna

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--check", action="store_true", help="compare with mixmerge explore")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with on_threads(1), ExitStack() as open_labs:
        labs = [open_labs.enter_context(closing(Lab(pair, asked.out))) for pair in combinations(EXPERTS, 2)]
        for lab in labs:
            ways_table(lab, asked)
            laws_table(lab, asked)
            if asked.check:
                check(lab, asked.out, asked)
        alphas_table(labs, asked)
        shares_table(labs, asked)


if __name__ == "__main__":
    main()
