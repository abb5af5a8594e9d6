"""How the ratio is best found on the zoo: random, sobol and tpe under the paper's Beta(0.5, 0.5), and uniform ratios.

Every way gets the same number of draws, many seeds, the same validation items to choose on and the same test items.
Printed: the mean test score of the chosen ratio over the seeds, its standard deviation, how often its 95 % interval
against the equal ratio lies above 0, and the equal ratio itself. `python bench/samplers.py OUT [--repeats 10]`.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np

from mixmerge.recipe import with_overrides
from mixmerge.study import explore
from mixmerge.study.demonstration import BATCH, EXPERTS, pair_recipe, pair_tasks
from mixmerge.study.workbench import one_thread

WAYS = {
    "random, Beta(0.5)": ("random", 0.5),
    "sobol, Beta(0.5)": ("sobol", 0.5),
    "tpe, Beta(0.5)": ("tpe", 0.5),
    "random, uniform": ("random", 1.0),
    "sobol, uniform": ("sobol", 1.0),
}


def chosen(out: Path, pair: tuple[str, str], way: str, seed: int, draws: int) -> tuple[float, float, str]:
    """Test objective of the winner and of the equal ratio, and how the winner compares."""
    sampler, alpha = WAYS[way]
    name = f"{'-'.join(pair)}-{sampler}-{alpha:g}-{seed}"
    first = out / f"{'-'.join(pair)}-random-0.5-0"
    study = explore(
        with_overrides(pair_recipe(pair, dare=False), alpha=alpha), pair_tasks(pair), folder=out / name, draws=draws,
        sampler=sampler, seed=seed, batch_size=BATCH, parents_of=first,
    )  # fmt: skip
    summary = study.summary
    test = summary["test"]
    return (
        test["winner"]["objective"]["mean"],
        test["equal"]["objective"]["mean"],
        summary["verdict"]["strength"],
    )


def main() -> None:
    """Run all, print one table a pair. What was run before is not run again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=3)
    asked = parser.parse_args()
    with one_thread():
        for pair in list(combinations(EXPERTS, 2))[: asked.pairs]:
            print(f"\n{' + '.join(pair)}, {asked.draws} draws, {asked.repeats} seeds, test items")
            for way in WAYS:
                rows = [chosen(asked.out, pair, way, seed, asked.draws) for seed in range(asked.repeats)]
                scores = np.array([row[0] for row in rows])
                better = sum(row[2] == "better" for row in rows)
                print(
                    f"  {way:18s} {100 * scores.mean():5.1f} ± {100 * scores.std(ddof=1):.1f}   "
                    f"shown better than equal: {better} of {len(rows)}   (equal {100 * rows[0][1]:.1f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
