"""mixmerge explore, export and demo: studies, translated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mixmerge.cli.asked import COMMAND_LINE
from mixmerge.cli.failures import StoppedError, UsageError
from mixmerge.cli.live_table import watched
from mixmerge.cli.progress import shown
from mixmerge.cli.sizes import parse_size
from mixmerge.errors import Problem

QUIET = typer.Option("--quiet", "-q", help="Show nothing while it runs.")
THREADS = typer.Option("--threads", metavar="N", min=1, show_default="one a core", help="Threads that compute.")
MEMORY = typer.Option("--memory", metavar="SIZE", help="Bound of merging.")
OVERWRITE = typer.Option("--overwrite", help="Start afresh and replace what is there.")


def explore(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe with `mixup`.")],
    study_dir: Annotated[str, typer.Argument(metavar="STUDY_DIR", help="Where the study is kept, and goes on.")],
    more: Annotated[list[str] | None, typer.Argument(metavar="TASK", help="More tasks, after --tasks.")] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option("--tasks", metavar="TASK...", help="JSONL files, lm-eval names or folders of task YAML."),
    ] = None,
    test_tasks: Annotated[
        list[str] | None, typer.Option("--test-tasks", metavar="TASK", help="Items of the proof, if kept separately.")
    ] = None,
    weight: Annotated[
        list[str] | None, typer.Option("--weight", metavar="TASK=W", help="Weight of a task in the objective.")
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", metavar="NAME=A,B", help="Vary this too: density=0.2,0.8 or method=ties,linear."),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", metavar="N", min=1, help="Ratios to try.")] = 32,
    sampler: Annotated[str, typer.Option("--sampler", help="sobol, random, tpe, gp or cmaes.")] = "sobol",
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of the draws.")] = 0,
    validation_fraction: Annotated[
        float, typer.Option("--validation-fraction", metavar="X", help="Share of the items used to choose.")
    ] = 0.5,
    objective: Annotated[str, typer.Option("--objective", help="mean or pareto.")] = "mean",
    race: Annotated[bool, typer.Option("--race", help="Drop draws early that are clearly worse.")] = False,
    workers: Annotated[int, typer.Option("--workers", metavar="N", min=1, help="Processes on this machine.")] = 1,
    storage: Annotated[str | None, typer.Option("--storage", metavar="URL", help="An Optuna storage.")] = None,
    backend: Annotated[str, typer.Option("--backend", help="Who evaluates: transformers or openai.")] = "transformers",
    url: Annotated[str | None, typer.Option("--url", help="Of the server, for --backend openai.")] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, ...")] = "cpu",
    compute: Annotated[
        str | None, typer.Option("--compute", help="Dtype models compute in: float32, bfloat16 or float16.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", metavar="N", min=1, help="Items at once.")] = None,
    memory: Annotated[str, MEMORY] = "1GiB",
    threads: Annotated[int | None, THREADS] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Draw ratios, merge and score each, choose on validation items, prove on test items.

    Stop it at any time; the same command goes on where it stopped.
    """
    if more and not tasks:
        found, cure = " ".join(more), "say the tasks after --tasks"
        raise UsageError(Problem("explore takes two words: RECIPE STUDY_DIR", found, COMMAND_LINE, cure))
    words: dict[str, Any] = {"sampler": sampler, "objective": objective, "backend": backend, "compute": compute}
    from mixmerge import study

    try:
        with watched(quiet=quiet) as listeners:
            done = study.explore(
                recipe, [*(tasks or []), *(more or [])], folder=study_dir, draws=draws, seed=seed,
                validation_fraction=validation_fraction, test_tasks=test_tasks or [], weights=_weights(weight or []),
                vary=_ranges(vary or []), race=race, workers=workers, storage=storage, url=url,
                device=device, batch_size=batch_size, memory=parse_size(memory, "--memory"), threads=threads,
                listeners=listeners, **words,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise StoppedError("every draw that ended is kept; the same command goes on") from None
    from mixmerge.cli.study_text import study_text

    print(study_text(done.summary))
    print(f"report    {Path(study_dir) / 'report.html'}")


def export(
    study_dir: Annotated[str, typer.Argument(metavar="STUDY_DIR", help="A study of `mixmerge explore`.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Output folder.")],
    trial: Annotated[int | None, typer.Option("--trial", metavar="K", min=0, help="This draw, not the winner.")] = None,
    pareto: Annotated[bool, typer.Option("--pareto", help="The whole Pareto set, one folder a model.")] = False,
    push_to_hub: Annotated[str | None, typer.Option("--push-to-hub", metavar="REPO", help="Upload OUT there.")] = None,
    overwrite: Annotated[bool, OVERWRITE] = False,
    memory: Annotated[str, MEMORY] = "1GiB",
    threads: Annotated[int | None, THREADS] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Write the winner of a study, or another of its draws, as a model with its card."""
    from mixmerge import study

    with shown(quiet=quiet) as meter:
        folders = study.export(
            study_dir, out, trial=trial, pareto=pareto, push_to_hub=push_to_hub, overwrite=overwrite,
            memory=parse_size(memory, "--memory"), threads=threads, listeners=[meter],
        )  # fmt: skip
    for folder in folders:
        print(folder)


def demo(
    out: Annotated[str, typer.Option("--out", "-o", metavar="DIR", help="Where it is kept.")] = "mixmerge-demo",
    draws: Annotated[int, typer.Option("--draws", metavar="N", min=1, help="Ratios to try for each pair.")] = 16,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of the draws.")] = 0,
    overwrite: Annotated[bool, OVERWRITE] = False,
    threads: Annotated[int | None, THREADS] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Run the main job on four tiny trained models that come with Mixmerge, and print what it found."""
    from mixmerge import study

    try:
        with watched(quiet=quiet) as listeners:
            found = study.demo(
                out, draws=draws, seed=seed, overwrite=overwrite, threads=threads, listeners=listeners
            )  # fmt: skip
    except KeyboardInterrupt:
        raise StoppedError("every draw that ended is kept; the same command without --overwrite goes on") from None
    from mixmerge.cli.study_text import demo_text

    print(demo_text(found))


def _weights(words: Sequence[str]) -> dict[str, float] | None:
    """TASK=W words as a mapping, None where there are none."""
    parts = [_pair(word, "--weight", "sst2=2") for word in words]
    try:
        return {name: float(text) for name, text in parts} or None
    except ValueError:
        problem = Problem("a task's weight is a number", ", ".join(words), "--weight", "write it as --weight sst2=2")
        raise UsageError(problem) from None


def _ranges(words: Sequence[str]) -> dict[str, Sequence[float] | Sequence[str]] | None:
    """NAME=A,B words as a mapping to two numbers or to names, None where there are none."""
    pairs = [_pair(word, "--vary", "density=0.2,0.8") for word in words]
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
