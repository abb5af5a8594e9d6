"""The options of `mixmerge explore` as one dataclass: one field an option, as in `options`. What is not said is None.

The library knows the defaults, and what the recipe's `study` section says instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any

import typer

from mixmerge.cli.asked import COMMAND_LINE
from mixmerge.cli.failures import UsageError
from mixmerge.cli.options import Words, option
from mixmerge.cli.scoring_options import ALLOW_CODE_EXECUTION, DATA_DIR, LIMIT, prompt
from mixmerge.errors import Problem


def flag(words: str, help: str) -> Any:
    """A switch that can be said either way."""
    return typer.Option(words, help=help, show_default=False)


def number(word: str, metavar: str, help: str, low: float | None = None) -> Any:
    """An option that takes a number, from `low` on."""
    return typer.Option(word, metavar=metavar, min=low, help=help, show_default=False)


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions:
    """What a study is; whatever is left out is as the recipe's `study` section says, else the default named here."""

    tasks: Annotated[Words | None, option("--tasks", metavar="TASK...",
        help="m3_gsm8k, JSONL files, lm-eval names or folders of task YAML.")] = None
    prompt: Annotated[str | None, prompt("alpaca")] = None
    data_dir: Annotated[str | None, DATA_DIR] = None
    limit: Annotated[int | None, LIMIT] = None
    allow_code_execution: Annotated[bool | None, ALLOW_CODE_EXECUTION] = None
    ood: Annotated[Words | None, option("--ood", metavar="TASK",
        help="Out of distribution: proved, reported; chooses with a weight only.")] = None
    attack: Annotated[Words | None, option("--attack", metavar="NAME",
        help="Attack the prompt at the proof: stresstest, checklist, deepwordbug or bertattack.")] = None
    attack_task: Annotated[Words | None, option("--attack-task", metavar="TASK",
        help="On this: sst2, cola, or a JSONL file of choices.")] = None
    attack_prompt: Annotated[str | None, option("--attack-prompt", metavar="TEXT",
        help="The attacked prompt of a file, with {content} for the example.")] = None
    attack_data: Annotated[str | None, option("--attack-data", metavar="DIR",
        help="Plain files of sst2 or cola, for no network.")] = None
    attack_limit: Annotated[int | None, number("--attack-limit", "N",
        "Examples an attack looks at.  [default: 100]", 1)] = None
    attack_queries: Annotated[int | None, number("--attack-queries", "N",
        "Prompts one search may look at.  [default: 100]", 1)] = None
    attack_seeds: Annotated[str | None, option("--attack-seeds", metavar="N[,N...]",
        help="One search each.  [default: 0,1,2]")] = None
    masked_lm: Annotated[str | None, option("--masked-lm", metavar="DIR",
        help="Masked language model, for bertattack.")] = None
    test_tasks: Annotated[Words | None, option("--test-tasks", metavar="TASK",
        help="Items of the proof, if kept separately.")] = None
    weight: Annotated[Words | None, option("--weight", metavar="TASK=W",
        help="Weight of a task in the objective, or of pdr.  [default: 1; of --ood and pdr: 0]")] = None
    vary: Annotated[Words | None, option("--vary", metavar="NAME=A,B",
        help="Vary this too: density=0.2,0.8 or method=ties,linear.")] = None
    draws: Annotated[int | None, number("--draws", "N", "Ratios to try.  [default: 32]", 1)] = None
    sampler: Annotated[str | None, option("--sampler",
        help="sobol, random, tpe, gp or cmaes.  [default: sobol]")] = None
    seed: Annotated[int | None, number("--seed", "N", "Seed of the draws.  [default: 0]", 0)] = None
    validation_fraction: Annotated[float | None, number("--validation-fraction", "X",
        "Share of the items used to choose.  [default: 0.5]")] = None
    objective: Annotated[str | None, option("--objective", help="mean or pareto.  [default: mean]")] = None
    race: Annotated[bool | None, flag("--race/--no-race", "Drop draws early that are clearly worse.")] = None
    workers: Annotated[int | None, number("--workers", "N", "Processes on this machine, or Ray workers.", 1)] = None
    ray: Annotated[str | None, option("--ray", metavar="ADDRESS",
        help="Score on a Ray cluster: auto, local, or HOST:PORT.")] = None
    ray_cpus: Annotated[float | None, number("--ray-cpus", "X", "CPUs of a Ray worker.  [default: 1]", 0)] = None
    ray_gpus: Annotated[float | None, number("--ray-gpus", "X", "GPUs of a Ray worker.  [default: 0]", 0)] = None
    storage: Annotated[str | None, option("--storage", metavar="URL", help="An Optuna storage.")] = None
    backend: Annotated[str | None, option("--backend",
        help="Who scores: transformers or openai.  [default: transformers]")] = None
    serve: Annotated[str | None, option("--serve", metavar="COMMAND",
        help="Starts a server for {model} at {port}, for --backend openai.")] = None
    url: Annotated[str | None, option("--url",
        help="Where it then listens.  [default: http://127.0.0.1:{port}/v1]")] = None
    serve_timeout: Annotated[float | None, number("--serve-timeout", "SECONDS",
        "Until it must answer.  [default: 600]", 0)] = None
    device: Annotated[str | None, option("--device", help="cpu, cuda, ...  [default: cpu]")] = None
    compute: Annotated[str | None, option("--compute",
        help="Dtype models compute in: float32, bfloat16 or float16.")] = None
    batch_size: Annotated[int | None, number("--batch-size", "N", "Items at once.", 1)] = None
    allow_task_code: Annotated[bool | None, flag("--allow-task-code",
        "Run the Python code of folders of task YAML.")] = None
# fmt: on


def keywords(said: StudyOptions, more: Sequence[str]) -> dict[str, Any]:
    """What was said, as keywords of the library. more: further tasks."""
    words = {part.name: getattr(said, part.name) for part in fields(said)}
    tasks = [*(words.pop("tasks") or []), *more] or None
    renamed = {"attacks": words.pop("attack"), "attack_tasks": words.pop("attack_task")}
    read = {"weights": weights(words.pop("weight")), "vary": ranges(words.pop("vary"))}
    return {**words, **renamed, **read, "tasks": tasks, "attack_seeds": seeds(words.pop("attack_seeds"))}


def seeds(text: str | None) -> list[int] | None:
    """N,N words as whole numbers."""
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        problem = Problem("seeds are whole numbers", text or "", "--attack-seeds", "write them as --attack-seeds 0,1,2")
        raise UsageError(problem) from None


def weights(words: Sequence[str] | None) -> dict[str, float] | None:
    """TASK=W words as a mapping, None where there are none."""
    parts = [_pair(word, "--weight", "sst2=2") for word in words or []]
    try:
        return {name: float(text) for name, text in parts} or None
    except ValueError:
        problem = Problem("a task's weight is a number", ", ".join(words or []), "--weight", "as in --weight sst2=2")
        raise UsageError(problem) from None


def ranges(words: Sequence[str] | None) -> dict[str, Sequence[float] | Sequence[str]] | None:
    """NAME=A,B words as a mapping to two numbers or to names, None where there are none."""
    pairs = [_pair(word, "--vary", "density=0.2,0.8") for word in words or []]
    return {name: _numbers(text.split(",")) for name, text in pairs} or None


def _pair(word: str, option: str, example: str) -> tuple[str, str]:
    name, sign, text = word.partition("=")
    if not sign or not name or not text:
        raise UsageError(Problem(f"{option} is NAME=VALUE", word, COMMAND_LINE, f"write it as {option} {example}"))
    return name, text


def _numbers(parts: Sequence[str]) -> Sequence[float] | Sequence[str]:
    try:
        return [float(part) for part in parts]
    except ValueError:
        return parts
