"""Studies of SmolLM2-135M experts: which ratio of two real fine-tunes, by several samplers, with the product's command.

    python bench/smollm2.py OUT --models MODELS --data DATA [--runs subj:sobol cola:sobol subj:random] [--draws 16]

MODELS holds full checkpoints `smol` (the base) and `smol_sst2`, `smol_cola`, `smol_subj` (`bench/experts.py`); DATA
holds sst2_test.tsv, cola_in_domain_dev.tsv and the held-out sentences of subjectivity as subj_held_out.tsv. A run
merges the SST-2 expert with the named one, by averaging in a ratio from Beta(0.5, 0.5) or as `--alpha` says, and scores
both tasks.
Everything lies in OUT under short names, so reports hold no path of the machine. What was done before is not done
again, and a run that was stopped goes on. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from experts import ANSWERS, PROMPT

FIRST = "sst2"
ALPHA = 0.5
FORMATS = {
    "sst2": ("Review: {sentence}\nIs the sentiment positive or negative? Answer:", (" negative", " positive")),
    "cola": (
        "Sentence: {sentence}\nIs the grammar acceptable or unacceptable? Answer:",
        (" unacceptable", " acceptable"),
    ),
    "subj": (PROMPT, ANSWERS),
}
"""Prompt and the answers for labels 0 and 1. The first two as the experts were trained."""

FILES = {"sst2": "sst2_test.tsv", "cola": "cola_in_domain_dev.tsv", "subj": "subj_held_out.tsv"}
RECIPE = """merge_method: {method}
base_model: base
models:
  - model: {first}
  - model: {second}
{parameters}mixup:
  alpha: {alpha:g}
"""


def prepare(out: Path, models: Path, data: Path, validation: int, test: int) -> None:
    """Links to the models, and the items of all tasks: drawn once with a seed, no sentence twice."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("base", *FORMATS):
        source, link = models / ("smol" if name == "base" else f"smol_{name}"), out / name
        if source.is_dir() and not link.is_symlink():
            link.symlink_to(source.resolve())
    for number, (name, file) in enumerate(FILES.items()):
        if (data / file).is_file() and not (out / f"{name}.test.jsonl").exists():
            rows = items(name, data / file)
            order = np.random.default_rng(number).permutation(len(rows))
            chosen = [rows[i] for i in order[: validation + test]]
            _write(out / f"{name}.validation.jsonl", chosen[:validation])
            _write(out / f"{name}.test.jsonl", chosen[validation:])


def items(task: str, path: Path) -> list[dict[str, Any]]:
    """Items of a task in the form `explore` reads."""
    prompt, choices = FORMATS[task]
    lines = path.read_text("utf-8").splitlines()
    if task == "cola":
        pairs = [(fields[3], fields[1]) for fields in (line.split("\t") for line in lines)]
    else:
        pairs = [(text, label) for text, _, label in (line.rpartition("\t") for line in lines[1:])]
    found = {text.strip(): int(label) for text, label in pairs}
    return [
        {"prompt": prompt.format(sentence=text), "choices": list(choices), "answer": label}
        for text, label in found.items()
    ]


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def explore(out: Path, second: str, sampler: str, method: str, alpha: float, draws: int) -> dict[str, Any]:
    """One study by `mixmerge explore`; its report."""
    tasks = [f"{name}.{part}.jsonl" for name in (FIRST, second) for part in ("validation", "test")]
    name = f"{FIRST}-{second}-{method}" + ("" if alpha == ALPHA else f"-alpha{alpha:g}")
    recipe, study = f"{name}.yaml", f"{name}-{sampler}"
    parameters = "parameters:\n  density: 0.5\n" if method == "ties" else ""
    text = RECIPE.format(method=method, first=FIRST, second=second, parameters=parameters, alpha=alpha)
    (out / recipe).write_text(text, "utf-8")
    command = [
        sys.executable, "-m", "mixmerge", "explore", recipe, study, "--tasks", *tasks,
        "--draws", str(draws), "--sampler", sampler, "--threads", "1", "--batch-size", "16",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, cwd=out, env=environment, check=True, stdout=sys.stderr)
    return dict(json.loads((out / study / "report.json").read_text("utf-8")))


def table(report: Mapping[str, Any]) -> str:
    """One study: everything on test items, and the verdict."""
    tasks = [*report["tasks"], "objective"]
    winner = next(trial for trial in report["trials"] if trial["number"] == report["winner"])
    spread = report["spread"]["objective"]
    lines = [
        f"\n{report['name']}, {report['method']}, {report['sampler']}: chosen "
        f"{', '.join(f'{part:.2f}' for part in winner['ratio'])}; {len(report['trials'])} draws "
        f"{100 * spread['mean']:.1f} ± {100 * spread['sd']:.1f} on validation items\n",
        f"| on test items | {' | '.join(tasks)} |",
        "|---|" + "---|" * len(tasks),
    ]
    for label, row in report["test"].items():
        lines.append(f"| {label} | " + " | ".join(_estimate(row[task]) for task in tasks) + " |")
    return "\n".join([*lines, "", report["verdict"]["sentence"]])


def _estimate(found: Mapping[str, float]) -> str:
    return f"{100 * found['mean']:.1f} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def main() -> None:
    """Run the studies in the order given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--runs", nargs="+", default=["subj:sobol", "cola:sobol", "subj:random", "subj:tpe", "subj:sobol:ties"],
        help="EXPERT:SAMPLER or EXPERT:SAMPLER:METHOD",
    )  # fmt: skip
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--alpha", type=float, default=ALPHA, help="ratios from Beta(alpha, alpha); 1 is uniform")
    parser.add_argument("--validation", type=int, default=100, help="items a task")
    parser.add_argument("--test", type=int, default=240, help="items a task")
    asked = parser.parse_args()
    prepare(asked.out, asked.models, asked.data, asked.validation, asked.test)
    for run in asked.runs:
        second, sampler, method = (*run.split(":"), "linear")[:3]
        print(table(explore(asked.out, second, sampler, method, asked.alpha, asked.draws)), flush=True)


if __name__ == "__main__":
    main()
