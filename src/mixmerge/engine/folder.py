"""A merge into a folder: written beside its place, journalled, resumable, and renamed into place when it is whole."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from mixmerge import fileio
from mixmerge.checkpoint import RECORD, CheckpointWriter, check_target, moved_aside, partial_folder, publish
from mixmerge.engine.card import model_card
from mixmerge.engine.events import Event, Listener, Restarted, TensorDone
from mixmerge.engine.execute import Engine
from mixmerge.engine.fingerprint import chunk_digests, combined
from mixmerge.engine.journal import JOURNAL, Found, Journal, read_journal
from mixmerge.engine.record import make_record, record_bytes
from mixmerge.engine.statistics import Statistics
from mixmerge.engine.unfinished import CARD, check_unfinished, empty_unfinished
from mixmerge.engine.verify import fingerprints
from mixmerge.errors import (
    CheckpointError,
    InterruptedMergeError,
    MixmergeError,
    OutputError,
    Problem,
    UnreadableError,
)
from mixmerge.kernels import CHUNK, Kernels
from mixmerge.planning import Plan, arena_shape
from mixmerge.recipe import recipe_hash
from mixmerge.sink import CheckpointSink

MAX_CARRIED: Final = 1_000_000_000  # bytes

_BEGUN_WITH: Final = {
    "mixmerge": "the version of Mixmerge", "recipe": "the recipe", "ratios": "the recipe",
    "inputs": "files of the models", "adapters": "settings of adapters", "vocabulary": "vocabularies",
}  # fmt: skip
"""What a merge is resumed with: keys of `_identity`, in words."""


def merge_to_folder(
    plan: Plan,
    out: Path,
    *,
    version: str,
    resume: bool = False,
    overwrite: bool = False,
    listeners: Sequence[Listener] = (),
    kernels: Kernels | None = None,
    card: str = "",
) -> dict[str, Any]:
    """Execute a plan into `out` and return its record.

    resume: go on with an interrupted merge of the same plan, if there is one. overwrite: replace `out`. card:
    Markdown sections added to the model card. Refused inputs leave nothing behind (exit code 2) but what an earlier run
    did that this one went on with; a failing disk raises InterruptedMergeError and leaves what can be resumed.
    """
    partial = partial_folder(out)
    check_place(out, resume=resume, overwrite=overwrite)
    _check_carried(plan)
    missing = [parent for parent in partial.parents if not parent.exists()]
    run = _Run(plan, partial, listeners, kernels)
    try:
        run.open(version, resume=resume)
        statistics = run.execute()
        record = make_record(plan, statistics, run.done, version, _stored(plan, listeners))
        run.complete(record, model_card(record, out.name, card))
        run.publish(out, overwrite=overwrite, resumed=resume)
    except UnreadableError as error:
        raise _unreadable(error) from error
    except MixmergeError as error:
        if error.exit_code != MixmergeError.exit_code:
            raise
        if run.went_on:
            raise _kept(error, partial) from error
        run.remove()
        _remove_empty(missing)
        raise
    except OSError as error:
        raise _interrupted(error, out) from error
    finally:
        run.close()
    return record


def check_place(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Nothing is in the way of a merge into `out`. Raises OutputError."""
    partial = partial_folder(out)
    problems = []
    if os.path.lexists(out) and not overwrite:
        found, cure = "something of that name", "choose another folder, or --overwrite"
        problems.append(Problem("an output folder is a new one", found, str(out), cure))
    if os.path.lexists(partial):
        check_unfinished(partial)
        if not (resume or overwrite):
            problems.append(_in_the_way(out, partial))
    if problems:
        raise OutputError(problems)
    check_target(out, overwrite)


def _in_the_way(out: Path, partial: Path) -> Problem:
    rule, cure = "no unfinished merge is in the way", "--resume goes on with it, --overwrite starts afresh"
    left = [] if os.path.lexists(out) else moved_aside(out)
    found = "an interrupted merge" + "".join(f"; the model it was about to replace is in {path}" for path in left)
    return Problem(rule, found, str(partial), cure)


def _check_carried(plan: Plan) -> None:
    """Files that are copied are small: a model may call anything a vocabulary. Raises CheckpointError."""
    problems = []
    for name, source in plan.carried.items():
        size = source.stat().st_size
        if size > MAX_CARRIED:
            rule, cure = f"a file beside the weights is at most {MAX_CARRIED:,} bytes long", "repair or replace it"
            problems.append(Problem(rule, f"{name}: {size:,} bytes", str(source), cure))
    if problems:
        raise CheckpointError(problems)


def _remove_empty(made: Sequence[Path]) -> None:
    """Folders made on the way to an output that was then refused, innermost first; others' files keep theirs."""
    with contextlib.suppress(OSError):
        for folder in made:
            folder.rmdir()


def _interrupted(error: OSError, out: Path) -> InterruptedMergeError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    rule = "the disk has room until the end" if full else "the output can be written until the end"
    cure = "free space, then run the same command with --resume" if full else "run the same command with --resume"
    return InterruptedMergeError(Problem(rule, str(error), str(out), cure))


def _kept(error: MixmergeError, partial: Path) -> MixmergeError:
    """A refusal in a merge that was resumed: the work of the runs before is not lost with it."""
    way_on = f"what is done is kept in {partial}: --resume goes on with it, --overwrite starts afresh"
    return type(error)(replace(problem, cure=f"{problem.cure}; {way_on}") for problem in error.problems)


def _unreadable(error: UnreadableError) -> InterruptedMergeError:
    way_on = "then the same command with --resume goes on; --overwrite starts afresh"
    return InterruptedMergeError(replace(problem, cure=f"{problem.cure}; {way_on}") for problem in error.problems)


def _begun_otherwise(before: Mapping[str, Any], now: Mapping[str, Any], partial: Path) -> Problem:
    """What differs from the merge that was begun. Where nothing else does, it is how tensors are divided into files."""
    changed = dict.fromkeys(words for key, words in _BEGUN_WITH.items() if before.get(key) != now.get(key))
    if not changed:
        rule, found = "a merge is resumed with the files it began with", "the weights are divided into others"
        return Problem(rule, found, str(partial), "say the --shard-size it began with, or --overwrite to start afresh")
    rule, cure = "a merge is resumed with the recipe and inputs it began with", "--overwrite starts afresh"
    return Problem(rule, f"they have changed: {', '.join(changed)}", str(partial), cure)


class _Run:
    """One merge into a partial folder."""

    def __init__(self, plan: Plan, partial: Path, listeners: Sequence[Listener], kernels: Kernels | None) -> None:
        self.plan = plan
        self.partial = partial
        self.done: dict[str, TensorDone] = {}
        self.went_on = False
        self._listeners = listeners
        self._kernels = kernels
        self._statistics: Statistics | None = None
        self._writer: CheckpointWriter | None = None
        self._journal: Journal | None = None
        self._inputs: list[list[tuple[str, int, int]]] = []

    def open(self, version: str, *, resume: bool) -> None:
        """Create the files, or take up those of an interrupted merge of the same plan."""
        self._inputs = [model.identity() for model in self.plan.models]
        identity = _identity(self.plan, version)
        begun = self.partial.exists()
        self._make_folder()
        self._journal = Journal(self.partial)
        found = read_journal(self.partial) if resume else None
        if found is not None and found.identity != identity:
            raise InterruptedMergeError(_begun_otherwise(found.identity, identity, self.partial))
        if resume and found is None and begun:
            self._tell_afresh(f"{self.partial / JOURNAL} cannot be read")
        if found is None or not self._taken_up(found, self._journal):
            empty_unfinished(self.partial, keep=JOURNAL)
            self._writer = CheckpointWriter(self.partial, self.plan.layouts)
            self._journal.begin(identity)

    def _make_folder(self) -> None:
        try:
            self.partial.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            rule, cure = "an output folder can be made where it is asked for", "choose another folder"
            raise OutputError(Problem(rule, str(error), str(self.partial), cure)) from error

    def _taken_up(self, found: Found, journal: Journal) -> bool:
        """Go on with the files the journal belongs to; False, and told, where they are not as they were begun."""
        try:
            self._writer = CheckpointWriter(self.partial, self.plan.layouts, resume=True)
        except OutputError as error:
            self._tell_afresh(f"{error.problems[0].place}: {error.problems[0].value}")
            return False
        for torn in self.partial.glob(".*.tmp"):  # of a small file that was being written
            torn.unlink()
        self._statistics = found.statistics
        if found.statistics is not None:
            self.done = self._checked(found.done, self._writer)
        journal.go_on()
        self.went_on = True
        return True

    def _tell_afresh(self, reason: str) -> None:
        for listener in self._listeners:
            listener(Restarted(f"the unfinished merge is damaged ({reason})"))

    def _checked(self, done: Any, writer: CheckpointWriter) -> dict[str, TensorDone]:
        """Those tensors of a journal whose bytes are what it says."""
        return {
            step.spec.name: done[step.spec.name]
            for step in self.plan.steps
            if step.spec.name in done
            and _fingerprint_of(writer, step.spec.name, step.spec.count, step.spec.dtype.itemsize)
            == done[step.spec.name].output
        }

    def execute(self) -> Statistics:
        """Measure unless the journal knows, then apply what is not there yet."""
        assert self._writer is not None, "opened before"
        assert self._journal is not None, "opened before"
        engine = Engine(self.plan, (self._note, self._journal, *self._listeners), self._kernels)
        if self._statistics is None:
            self._statistics = engine.measure(self.plan)
            self._journal.measured(self._statistics)
        skip = {name: event.elected for name, event in self.done.items()}
        _, _, size = arena_shape(self.plan.steps, self.plan.budget.block)
        with CheckpointSink(self._writer, size, self.plan.budget.threads) as sink:
            statistics = engine.apply(self.plan, self._statistics, sink, skip=skip)
        if statistics != self._statistics:
            self._journal.measured(statistics)
        return statistics

    def _note(self, event: Event) -> None:
        if isinstance(event, TensorDone):
            self.done[event.name] = event

    def complete(self, record: dict[str, Any], card: str) -> None:
        """Write what stands beside the weights, and make all of it last."""
        assert self._writer is not None, "opened before"
        self._check_inputs()
        for name, source in self.plan.carried.items():
            fileio.atomic_copy(source, self.partial / name)
        for name, content in self.plan.files.items():
            fileio.atomic_write(self.partial / name, content)
        fileio.atomic_write(self.partial / CARD, card.encode())
        fileio.atomic_write(self.partial / RECORD, record_bytes(record))
        self._writer.finish()

    def _check_inputs(self) -> None:
        """The models are the files they were when the merge began. Raises InterruptedMergeError."""
        rule = "the files of a model stay as they are while it is merged"
        cure = "--overwrite merges it afresh"
        problems = []
        for model, before in zip(self.plan.models, self._inputs, strict=True):
            now = model.identity() if all(file.exists() for file in model.all_files) else []
            changed = sorted({entry[0] for entry in set(before) ^ set(now)})
            place = f"model {model.label}, in {model.folder}"
            problems += [Problem(rule, f"{name} has changed", place, cure) for name in changed]
        if problems:
            raise InterruptedMergeError(problems)

    def publish(self, out: Path, *, overwrite: bool, resumed: bool) -> None:
        """Give the folder its name. The journal goes last: until then a killed merge is taken up with nothing left to
        do. Raises InterruptedMergeError where the place was taken meanwhile."""
        try:
            folders = {file.parent: None for model in self.plan.models for file in model.all_files}
            publish(self.partial, out, overwrite, resumed=resumed, without=(JOURNAL,), inputs=list(folders))
        except OutputError as error:
            raise InterruptedMergeError(error.problems) from error

    def remove(self) -> None:
        """Take away what was written, unless the folder is another process's."""
        if self._writer is not None:
            self._writer.close()
        if self._journal is not None:
            with contextlib.suppress(OSError):
                empty_unfinished(self.partial)

    def close(self) -> None:
        """Let go of the files; what is written stays."""
        if self._writer is not None:
            self._writer.close()
        if self._journal is not None:
            self._journal.close()
            self._journal = None


def _identity(plan: Plan, version: str) -> dict[str, Any]:
    """What must be unchanged for a merge to be resumed, as plain JSON values."""
    layouts = b"".join(layout.file.encode() + layout.header for layout in plan.layouts)
    content = {
        "mixmerge": version,
        "recipe": recipe_hash(plan.recipe),
        "ratios": {group: list(ratio) for group, ratio in plan.ratios.items()},
        "layout": hashlib.sha256(layouts).hexdigest(),
        "inputs": [[model.label, model.identity()] for model in plan.models],
    }
    adapted = [model.adaptation.adapter.config.sha256 for model in plan.models if model.adaptation is not None]
    if adapted:
        content["adapters"] = adapted
    if plan.vocabulary is not None:
        content["vocabulary"] = plan.vocabulary.digest
    return json.loads(json.dumps(content))  # type: ignore[no-any-return]


def _stored(plan: Plan, listeners: Sequence[Listener]) -> dict[tuple[int, str], str]:
    """Fingerprints as they are stored: of tensors that were seen with other rows, and of the factors of adapters."""
    found: dict[tuple[int, str], str] = {}
    for index, model in enumerate(plan.models):
        spans = [item.span for item in plan.viewed if item.model == index]
        spans += [] if model.adaptation is None else model.adaptation.factors
        if spans:
            own = fingerprints(model, threads=plan.budget.threads, listeners=listeners, spans=spans)
            found |= {(index, name): value for name, value in own.items()}
    return found


def _fingerprint_of(writer: CheckpointWriter, name: str, count: int, itemsize: int) -> str:
    digests = bytearray()
    for first in range(0, count, CHUNK):
        size = min(CHUNK, count - first)
        data = np.empty(size * itemsize, np.uint8)
        writer.read_back(name, first, size, data)
        digests += chunk_digests(data, itemsize)
    return combined(digests)
