"""mixmerge merge: plan, say what was drawn, merge, and say how to get the same model again."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mixmerge.cli.asked import Asked, asked, recipe_problems
from mixmerge.cli.failures import StoppedError
from mixmerge.cli.options import RecipeOptions, WorkOptions, option
from mixmerge.cli.plan_text import few_notes, ratio_lines
from mixmerge.cli.progress import Meter, shown
from mixmerge.cli.sizes import bytes_text, mib_text
from mixmerge.errors import Problem, legible
from mixmerge.startup import quick_loading

if TYPE_CHECKING:
    from mixmerge.planning import Plan


def merge(
    said: RecipeOptions,
    work: WorkOptions,
    resume: Annotated[bool, option("--resume", help="Go on with an interrupted merge.")] = False,
    overwrite: Annotated[bool, option("--overwrite", help="Replace OUT.")] = False,
    quiet: Annotated[bool, option("--quiet", "-q", help="No progress bar and no notes.")] = False,
) -> None:
    """Merge models into the folder OUT.

    From a recipe:

        mixmerge merge recipe.yaml OUT

    Or without one, where the positional words are the models:

        mixmerge merge --method ties --base BASE MODEL MODEL --alpha 0.5 --dare 0.2 -o OUT

    Options said beside a recipe win over it. Models are local folders or hub ids (owner/name, owner/name@revision).
    Everything is checked from headers before a weight is read or downloaded.
    """
    with quick_loading():
        wanted = asked(said, needs_out=True)
        from mixmerge import api
    assert wanted.out is not None, "an output folder was asked for"
    if quiet:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        with shown(quiet=quiet) as meter:
            record = api.merge(
                wanted.recipe, wanted.out, memory=work.memory, threads=work.threads,
                shard_size=work.shard_size, resume=resume, overwrite=overwrite,
                allow_nonfinite=work.allow_nonfinite, listeners=[meter],
                on_plan=None if quiet else _tell_notes,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise StoppedError(_way_on(wanted.out)) from None
    _print_result(record, wanted, work, meter)


def also_wrong(right: Mapping[str, Any]) -> Sequence[Problem]:
    """What is wrong with the recipe, where some words are wrong."""
    return recipe_problems(right, needs_out=True)


def _tell_notes(plan: Plan) -> None:
    for note in few_notes(plan.notes):
        print(f"note: {legible(note)}", file=sys.stderr)


def _way_on(out: Path) -> str:
    from mixmerge.checkpoint import partial_folder

    partial = partial_folder(out)
    if not partial.exists():
        return "nothing was written; run the same command again"
    return f"what is done is kept in {partial}; the same command with --resume goes on"


def _print_result(record: Mapping[str, Any], wanted: Asked, work: WorkOptions, meter: Meter) -> None:
    out = wanted.out
    assert out is not None, "an output folder was asked for"
    files = sorted(out.glob("*.safetensors"))
    size = sum(file.stat().st_size for file in files)
    tensors = f"{len(record['output'])} tensors, {len(files)} file{'s' * (len(files) != 1)}"
    print(f"merged    {legible(str(out))}: {bytes_text(size)}, {tensors}")
    for line in ratio_lines(record["ratios"], record["sources"], record["ratio_law"], record["seed"]):
        print(legible(line))
    rate = bytes_text(meter.nbytes / max(meter.seconds, 1e-9))
    print(f"time      {meter.seconds:.1f} s, {rate}/s read and written")
    peak = _peak_memory()
    if peak:
        print(f"memory    {mib_text(peak)} at the peak")
    if "model" in record["ratios"]:
        more = ["--allow-nonfinite"] if work.allow_nonfinite else []
        print(f"again     {wanted.again('merge', record['ratios']['model'], *more)}")


def _peak_memory() -> int:
    """Largest resident size of this process so far in bytes, 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
