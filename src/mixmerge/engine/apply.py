"""The apply pass: every block read once, merged, rounded, fingerprinted and handed to the sink."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from mixmerge.engine.blocks import (
    IN_PLACE,
    Arena,
    Bytes,
    finished_bytes,
    in_place,
    nonfinite_error,
    pieces,
    read,
    refuse_nonfinite,
)
from mixmerge.engine.compiling import have_ready
from mixmerge.engine.events import Listener, PassStarted, Progress, TensorDone
from mixmerge.engine.fingerprint import Tally, chunk_digests
from mixmerge.engine.lowering import coefficients, kernel_code, lower, native, rule_of
from mixmerge.engine.mapped import MappedFiles
from mixmerge.engine.masks import Masks
from mixmerge.engine.statistics import Statistics
from mixmerge.engine.workers import run_jobs
from mixmerge.errors import CheckpointError, NonFiniteError, Problem
from mixmerge.kernels import Kernels, Lowered
from mixmerge.planning import Plan, Step
from mixmerge.sink import Sink


class Applier:
    """One apply pass of a plan. skip: tensors that are already there, and the sum of signs each elected.

    hashed: whether fingerprints are taken. files: mapped ones, masks: those at hand.
    """

    def __init__(
        self,
        plan: Plan,
        statistics: Statistics,
        sink: Sink,
        kernels: Kernels,
        listen: Listener,
        *,
        skip: Mapping[str, int],
        hashed: bool = True,
        files: MappedFiles | None = None,
        masks: Masks | None = None,
    ) -> None:
        self.plan = plan
        self.statistics = statistics
        self.sink = sink
        self.kernels = kernels
        self.listen = listen
        self.hashed = hashed
        self.files = files
        self.masks = masks
        self.steps = [step for step in plan.steps if step.spec.name not in skip]
        self.elected = dict(skip)
        self._lock = threading.Lock()

    def run(self, arenas: list[Arena]) -> int:
        """Merge every tensor that is not there. Returns the sum of the signs elected in all."""
        total = sum(step.read_bytes + step.spec.nbytes for step in self.steps)
        self.listen(PassStarted("merging", total))
        run_jobs(self._jobs(), self._work, arenas)
        self.sink.settle()
        return sum(self.elected.values())

    def compile(self, arena: Arena) -> None:
        """Compile what the pass will call, where that has not been done on this machine: seconds, told to listeners."""
        seen = set()
        for step in self.steps:
            rule = rule_of(step, self.plan.ratios)
            dtypes = (*(kernel_code(item.dtype) for item in step.all_inputs), kernel_code(step.spec.dtype))
            low = self._lowered(step) if (rule, dtypes, step.spec.count % 2) not in seen else None
            if low is None:
                continue
            seen.add((rule, dtypes, step.spec.count % 2))
            for odd in sorted({count % 2 for _, count in pieces(step, self._block(step, low))}):
                kernel = self.kernels.merge_block[rule]
                have_ready(self.kernels, self.listen, kernel, arena.raw, 0, odd, low, arena.out, *arena.scratch)

    def _jobs(self) -> Iterator[_Job]:
        for step in self.steps:
            tally = Tally(step.spec.count, len(step.all_inputs) + 1)
            low = self._lowered(step)
            if step.spec.count == 0:
                empty = tally.add(0, 0, [b""] * (len(step.all_inputs) + 1))
                assert empty is not None, "nothing is left of nothing"
                self.listen(TensorDone(step.spec.name, empty[-1], empty[:-1]))
            for first, count in pieces(step, self._block(step, low)):
                yield _Job(step, low, first, count, tally)

    def _block(self, step: Step, low: Lowered | None) -> int:
        """Elements merged at once: more where neither inputs nor output go through a buffer."""
        spec = step.spec
        if low is None or not native(spec.dtype) or not in_place(self.plan, step, self.files):
            return self.plan.budget.block
        return IN_PLACE if self.sink.holds(spec.name, spec.dtype) else self.plan.budget.block

    def _lowered(self, step: Step) -> Lowered | None:
        """None where bytes are only copied."""
        same = step.method is None and all(item.dtype == step.spec.dtype for item in step.inputs)
        if same:
            return None
        numbers = coefficients(step, self.plan.ratios)
        found, stays = self.statistics.of(step.spec.name), None if self.masks is None else self.masks.stays(step)
        settled = self.masks is not None and self.masks.settled is not None
        return lower(self.plan, step, numbers, found, self.statistics.majority, stays, settled)

    def _work(self, job: _Job, arena: Arena) -> None:
        step, spec, first, count = job.step, job.step.spec, job.first, job.count
        digests = read(self.plan, step, first, count, arena, self.kernels, hashed=self.hashed, stored=job.low is None)
        if job.low is None:
            place, data = None, self._copied(step, count, arena)
        else:
            place = self.sink.place(spec.name, first, count, spec.dtype) if native(spec.dtype) else None
            data = self._merged(job, job.low, arena, arena.out if place is None else place)
        if self.hashed:
            digests.append(chunk_digests(data, spec.dtype.itemsize))
        then = partial(self._account, job, digests, data.nbytes)
        if place is None:
            self.sink.write(spec.name, first, spec.dtype, data, then)
        else:
            self.sink.placed(spec.name, first, place, then)

    def _merged(self, job: _Job, low: Lowered, arena: Arena, out: Bytes) -> np.ndarray:
        step = job.step
        kernel = self.kernels.merge_block[rule_of(step, self.plan.ratios)]
        elected = kernel(arena.raw, job.first, job.count, low, out, *arena.scratch)
        with self._lock:
            self.elected[step.spec.name] = self.elected.get(step.spec.name, 0) + int(elected)
        overflown = bool(arena.nonfinite[len(step.inputs) + 1])
        refuse_nonfinite(self.plan, step, arena.nonfinite)
        data = finished_bytes(out, step.spec.dtype, job.count)
        self._refuse_overflow(step, data, overflown)
        return data

    def _refuse_overflow(self, step: Step, data: np.ndarray, overflown: bool) -> None:
        """Finite inputs may give more than the output's dtype, or float32, can hold. overflown: the loops saw it."""
        dtype = step.spec.dtype
        if self.plan.allow_nonfinite:
            return
        if overflown or not (native(dtype) or np.isfinite(data.view(dtype.numpy)).all()):
            wide = dtype.name in ("F32", "F64", "BF16")
            cure = "choose smaller weights" if wide else "choose `dtype: bfloat16` or float32"
            rule, found = f"every merged weight fits {dtype.torch_name}", "overflow to infinity, or no number"
            place = f"tensor {step.spec.name}"
            raise NonFiniteError(Problem(rule, found, place, f"{cure}, or go on with --allow-nonfinite"))

    def _copied(self, step: Step, count: int, arena: Arena) -> Bytes:
        """Bytes as they are; integers and bools must be the same in every input."""
        size = count * step.spec.dtype.itemsize
        first: Bytes = arena.raw[0]
        self._refuse_nonfinite_copy(step, first[:size])
        for row, item in zip(arena.raw[1:], step.all_inputs[1:], strict=False):
            if not np.array_equal(row[:size], first[:size]):
                labels = [self.plan.models[one.model].label for one in (step.all_inputs[0], item)]
                rule = f"tensors of {step.spec.dtype.torch_name} are the same in all models"
                place = f"tensor {step.spec.name}, models {labels[0]} / {labels[1]}"
                cure = "`on_mismatch: base` does not apply to values; merge models that share it"
                raise CheckpointError(Problem(rule, "they differ", place, cure))
        return first[:size]

    def _refuse_nonfinite_copy(self, step: Step, data: Bytes) -> None:
        if step.spec.dtype.kind != "float" or self.plan.allow_nonfinite:
            return
        if not np.isfinite(data.view(step.spec.dtype.numpy)).all():
            raise nonfinite_error(self.plan, step.all_inputs[0])

    def _account(self, job: _Job, digests: list[bytes], written: int) -> None:
        """A block is where it belongs. digests: of the inputs' blocks and of it; written: its bytes."""
        step, count = job.step, job.count
        done = job.tally.add(job.first, count, digests) if self.hashed else None
        if done is not None:
            elected = self.elected.get(step.spec.name, 0)
            self.listen(TensorDone(step.spec.name, done[-1], done[:-1], elected))
        read_bytes = sum(count * item.span.dtype.itemsize for item in step.all_inputs)
        self.listen(Progress(read_bytes + written))


class _Job:
    """One block of one tensor."""

    __slots__ = ("count", "first", "low", "step", "tally")

    def __init__(self, step: Step, low: Lowered | None, first: int, count: int, tally: Tally) -> None:
        self.step = step
        self.low = low
        self.first = first
        self.count = count
        self.tally = tally
