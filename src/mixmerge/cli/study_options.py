"""The options of `mixmerge explore` as one dataclass: one field an option, as in `options`. What is not said is None.

The library knows the defaults, and what the recipe's `study` section says instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final, get_args, get_type_hints

from mixmerge.cli.failures import UsageError
from mixmerge.cli.options import Words, numbers, option
from mixmerge.cli.scoring_options import ALLOW_CODE_EXECUTION, DATA_DIR, LIMIT, prompt
from mixmerge.errors import Problem


def pair(text: str, option: str) -> tuple[str, str]:
    """NAME=VALUE as both."""
    name, sign, value = text.partition("=")
    if not sign or not name or not value:
        raise UsageError(Problem(f"{option} is NAME=VALUE", text, option, f"as in {option} {_EXAMPLES[option]}"))
    return name, value


def weight(text: str, option: str) -> tuple[str, float]:
    """TASK=W as both."""
    name, value = pair(text, option)
    try:
        return name, float(value)
    except ValueError:
        raise UsageError(Problem("a task's weight is a number", text, option, "as in --weight sst2=2")) from None


def varied(text: str, option: str) -> tuple[str, Sequence[float] | Sequence[str]]:
    """NAME=A,B as a name with two numbers, or with names."""
    name, value = pair(text, option)
    parts = value.split(",")
    try:
        return name, [float(part) for part in parts]
    except ValueError:
        return name, parts


_EXAMPLES: Final = {"--weight": "sst2=2", "--vary": "density=0.2,0.8"}


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
    attack_limit: Annotated[int | None, option("--attack-limit", metavar="N", low=1,
        help="Examples an attack looks at.", default="100")] = None
    attack_queries: Annotated[int | None, option("--attack-queries", metavar="N", low=1,
        help="Prompts one search may look at.", default="100")] = None
    attack_seeds: Annotated[Sequence[int] | None, option("--attack-seeds", metavar="N[,N...]", read=numbers,
        help="One search each.", default="0,1,2")] = None
    masked_lm: Annotated[str | None, option("--masked-lm", metavar="DIR",
        help="Masked language model, for bertattack.")] = None
    test_tasks: Annotated[Words | None, option("--test-tasks", metavar="TASK",
        help="Items of the proof, if kept separately.")] = None
    weight: Annotated[list[tuple[str, float]] | None, option("--weight", metavar="TASK=W", read=weight,
        help="Weight of a task in the objective, or of pdr.", default="1; of --ood and pdr: 0")] = None
    vary: Annotated[list[tuple[str, Any]] | None, option("--vary", metavar="NAME=A,B", read=varied,
        help="Vary this too: density=0.2,0.8 or method=ties,linear.")] = None
    draws: Annotated[int | None, option("--draws", metavar="N", low=1,
        help="Ratios to try.", default="32")] = None
    sampler: Annotated[str | None, option("--sampler", metavar="NAME",
        help="sobol, random, tpe, gp or cmaes.", default="sobol")] = None
    seed: Annotated[int | None, option("--seed", metavar="N", low=0,
        help="Seed of the draws.", default="0")] = None
    validation_fraction: Annotated[float | None, option("--validation-fraction", metavar="X",
        help="Share of the items used to choose.", default="0.5")] = None
    objective: Annotated[str | None, option("--objective", metavar="NAME",
        help="mean or pareto.", default="mean")] = None
    race: Annotated[bool | None, option("--race/--no-race", help="Drop draws early that are clearly worse.")] = None
    workers: Annotated[int | None, option("--workers", metavar="N", low=1,
        help="Processes on this machine, or Ray workers.")] = None
    ray: Annotated[str | None, option("--ray", metavar="ADDRESS",
        help="Score on a Ray cluster: auto, local, or HOST:PORT.")] = None
    ray_cpus: Annotated[float | None, option("--ray-cpus", metavar="X", low=0,
        help="CPUs of a Ray worker.", default="1")] = None
    ray_gpus: Annotated[float | None, option("--ray-gpus", metavar="X", low=0,
        help="GPUs of a Ray worker.", default="0")] = None
    storage: Annotated[str | None, option("--storage", metavar="URL", help="An Optuna storage.")] = None
    backend: Annotated[str | None, option("--backend", metavar="NAME",
        help="Who scores: transformers or openai.", default="transformers")] = None
    serve: Annotated[str | None, option("--serve", metavar="COMMAND",
        help="Starts a server for {model} at {port}, for --backend openai.")] = None
    url: Annotated[str | None, option("--url", metavar="URL",
        help="Where it then listens.", default="http://127.0.0.1:{port}/v1")] = None
    serve_timeout: Annotated[float | None, option("--serve-timeout", metavar="SECONDS", low=0,
        help="Until it must answer.", default="600")] = None
    device: Annotated[str | None, option("--device", metavar="DEVICE", help="cpu, cuda, ...", default="cpu")] = None
    compute: Annotated[str | None, option("--compute", metavar="DTYPE",
        help="Dtype models compute in: float32, bfloat16 or float16.",
        default="float32 on a CPU, else the merge's")] = None
    batch_size: Annotated[int | None, option("--batch-size", metavar="N", low=1,
        help="Items at once.")] = None
    allow_task_code: Annotated[bool | None, option("--allow-task-code",
        help="Run the Python code of folders of task YAML.")] = None
# fmt: on


_RENAMED: Final = {"attack": "attacks", "attack_task": "attack_tasks", "weight": "weights"}
"""Options whose keyword has another name."""

TYPED: Final[Mapping[str, str]] = {
    _RENAMED.get(name, name): declared.names[0].partition("/")[0]
    for name, hint in get_type_hints(StudyOptions, include_extras=True).items()
    for declared in get_args(hint)[1:]
} | {"memory": "--memory", "threads": "--threads"}
"""Keyword of the library -> how it is typed."""


def keywords(said: StudyOptions, more: Sequence[str]) -> dict[str, Any]:
    """What was said, as keywords of the library. more: further tasks."""
    words = {part.name: getattr(said, part.name) for part in fields(said)}
    tasks = [*(words.pop("tasks") or []), *more] or None
    read = {name: dict(words[name] or ()) or None for name in ("weight", "vary")}
    return {_RENAMED.get(name, name): value for name, value in (words | read).items()} | {"tasks": tasks}
