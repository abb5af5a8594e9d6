"""The public functions: plan, merge, verify. Each is one call; the command line only translates to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixmerge import checkpoint, fileio
from mixmerge.checkpoint import Checkpoint, open_checkpoint
from mixmerge.engine import Listener
from mixmerge.engine.folder import check_place, merge_to_folder
from mixmerge.engine.verify import verify_folder
from mixmerge.errors import MixmergeError, PlanError, Problem
from mixmerge.planning import DEFAULT_SHARD, Plan, build_plan
from mixmerge.recipe import ModelRef, Recipe, load_recipe, model_refs, parse_recipe
from mixmerge.version import __version__

if TYPE_CHECKING:
    from mixmerge.checkpoint import Adapter


def as_recipe(recipe: Recipe | str | Path) -> Recipe:
    """A recipe from itself, from a file's path, or from YAML text (a string of more than one line)."""
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, str) and "\n" in recipe:
        return parse_recipe(recipe)
    return load_recipe(Path(recipe))


def plan(
    recipe: Recipe | str | Path,
    *,
    memory: int | None = None,
    threads: int | None = None,
    shard_size: int = DEFAULT_SHARD,
    out: str | Path | None = None,
    allow_nonfinite: bool = False,
) -> Plan:
    """Decide a merge from its recipe and the headers of its models; no weight is read.

    memory: bytes for the whole process (default 1 GiB). threads: default one a core. shard_size: bytes a file.
    out: checks place and disk too. Hub models are looked at through range requests.
    Raises RecipeError, CheckpointError, PlanError, MemoryBudgetError, OutputError: all problems of a stage at once.
    """
    parsed = as_recipe(recipe)
    _check_positive(memory=memory, threads=threads, shard_size=shard_size)
    return build_plan(
        parsed,
        open_models(parsed),
        memory=memory,
        threads=threads,
        shard_size=shard_size,
        out=None if out is None else fileio.expanded(out),
        allow_nonfinite=allow_nonfinite,
    )


def merge(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    memory: int | None = None,
    threads: int | None = None,
    shard_size: int = DEFAULT_SHARD,
    resume: bool = False,
    overwrite: bool = False,
    allow_nonfinite: bool = False,
    listeners: Sequence[Listener] = (),
    on_plan: Callable[[Plan], None] | None = None,
) -> dict[str, Any]:
    """Merge into the folder `out`; returns the record that is also written as mixmerge.json.

    Arguments as `plan`, and: resume goes on with an interrupted merge; overwrite replaces `out`; listeners hear of
    progress; on_plan is told of the plan before any weight is read.
    Raises what `plan` raises, NonFiniteError, and InterruptedMergeError when the disk fails.
    """
    parsed = as_recipe(recipe)
    out = Path(os.path.abspath(fileio.expanded(out)))
    planned = plan(
        parsed,
        memory=memory,
        threads=threads,
        shard_size=shard_size,
        out=out,
        allow_nonfinite=allow_nonfinite,
    )
    check_place(out, resume=resume, overwrite=overwrite)
    if on_plan is not None:
        on_plan(planned)
    if not all(model.is_local for model in planned.models):
        planned = build_plan(
            parsed, fetched_models(parsed, planned), memory=memory, threads=threads, shard_size=shard_size, out=out,
            allow_nonfinite=allow_nonfinite,
        )  # fmt: skip
    try:
        return merge_to_folder(
            planned,
            out,
            version=__version__,
            resume=resume,
            overwrite=overwrite,
            listeners=listeners,
        )
    finally:
        planned.close()


def verify(folder: str | Path, *, threads: int = 1, listeners: Sequence[Listener] = ()) -> dict[str, Any]:
    """Recompute the fingerprints of a merged model; returns its record. Raises VerificationError if any differs."""
    _check_positive(threads=threads)
    return verify_folder(fileio.expanded(folder), threads=threads, listeners=listeners)


def open_models(recipe: Recipe) -> Mapping[ModelRef, Checkpoint]:
    """Open every model of a recipe: local folders, else the hub's headers. All that fail are told at once."""
    opened: dict[ModelRef, Checkpoint] = {}
    problems: list[Problem] = []
    for ref in model_refs(recipe):
        try:
            opened[ref] = _open(ref)
        except MixmergeError as error:
            problems += error.problems
    if problems:
        raise PlanError(dict.fromkeys(problems))
    return opened


def _open(ref: ModelRef) -> Checkpoint:
    if ref.adapter is None:
        return _open_model(ref)
    found: list[Any] = []
    problems: list[Problem] = []
    for opener, part in ((_open_model, replace(ref, adapter=None)), (_open_adapter, ref.adapter)):
        try:
            found.append(opener(part))
        except MixmergeError as error:
            problems += error.problems
    if problems:
        raise PlanError(problems)
    model, adapter = found
    return checkpoint.with_adapter(model, adapter, str(ref))


def _open_adapter(ref: ModelRef) -> Adapter:
    path = fileio.expanded(ref.path)
    if fileio.exists(path):
        return checkpoint.open_adapter(path, str(ref))
    from mixmerge.checkpoint import hub  # huggingface_hub takes a second to import

    return hub.resolve_adapter(ref.path, ref.revision, label=str(ref))


def _open_model(ref: ModelRef) -> Checkpoint:
    path = fileio.expanded(ref.path)
    if fileio.exists(path):
        return open_checkpoint(path, str(ref))
    from mixmerge.checkpoint import hub  # huggingface_hub takes a second to import

    found = hub.resolve(ref.path, ref.revision, label=str(ref))
    if not found.is_local:
        hub.fetch_small(found)
    return found


def fetched_models(recipe: Recipe, planned: Plan) -> Mapping[ModelRef, Checkpoint]:
    """Download what a plan reads of the hub into the hub's cache, and open the commits it was made from: a branch may
    have moved meanwhile."""
    return {ref: _fetched(ref, model) for ref, model in zip(model_refs(recipe), planned.models, strict=True)}


def _fetched(ref: ModelRef, model: Checkpoint) -> Checkpoint:
    if model.is_local:
        return model
    from mixmerge.checkpoint import hub  # as above

    if model.adaptation is None:
        return hub.download(model)
    label, adapter = str(replace(ref, adapter=None)), model.adaptation.adapter
    here = model.weights_here
    base = open_checkpoint(model.folder, label, origin=model.origin) if here else hub.download(model, label)
    return checkpoint.with_adapter(base, adapter if adapter.is_local else hub.download_adapter(adapter), str(ref))


def _check_positive(**numbers: int | None) -> None:
    """Raises PlanError with all that are not at least 1. None stands for a default."""
    problems = [
        Problem(f"{name} is at least 1", f"{name}={value}", "", "leave it out for the default")
        for name, value in numbers.items()
        if value is not None and value < 1
    ]
    if problems:
        raise PlanError(problems)
