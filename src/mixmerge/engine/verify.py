"""Recompute the fingerprints of a merged model, or of the models it was made from, and compare with its record."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixmerge.checkpoint import Checkpoint, TensorSpan, open_checkpoint
from mixmerge.engine.events import Listener, PassStarted, Progress
from mixmerge.engine.fingerprint import chunk_digests, combined
from mixmerge.engine.record import read_record
from mixmerge.engine.workers import run_jobs
from mixmerge.errors import CheckpointError, Problem, VerificationError
from mixmerge.kernels import CHUNK

_CHUNKS = 8


def verify_folder(folder: Path, *, threads: int = 1, listeners: Sequence[Listener] = ()) -> dict[str, Any]:
    """Compare every tensor with the record; returns the record.

    Raises VerificationError with all that differ or is missing, CheckpointError where there is no record.
    """
    record = read_record(folder)
    try:
        with open_checkpoint(folder, folder.resolve().name) as model:
            problems = compare(model, record["output"], threads=threads, listeners=listeners)
    except CheckpointError as error:  # files that are cut short, gone or replaced: bytes that were not written
        raise VerificationError(error.problems) from error
    if problems:
        raise VerificationError(problems)
    return record


def compare(
    model: Checkpoint, expected: Mapping[str, str], *, threads: int, listeners: Sequence[Listener] = ()
) -> list[Problem]:
    """What differs between a model's tensors and their expected fingerprints, by name."""
    found = fingerprints(model, threads=threads, listeners=listeners)
    place = f"model {model.label}"
    problems = []
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            rule = "every tensor has the bytes its record states"
            value = f"{found.get(name, 'no such tensor')}, recorded {expected.get(name, 'nothing')}"
            problems.append(
                Problem(rule, value, f"{place}, tensor {name}", "merge again from the recipe in the record")
            )
    return problems


def fingerprints(
    model: Checkpoint, *, threads: int, listeners: Sequence[Listener] = (), spans: Sequence[TensorSpan] | None = None
) -> dict[str, str]:
    """Fingerprint of every tensor of a model, or of some, as stored."""
    found: dict[str, str] = {}
    lock = threading.Lock()

    def tell(event: Any) -> None:
        for listener in listeners:
            listener(event)

    def work(span: TensorSpan, buffer: np.ndarray) -> None:
        digests = bytearray()
        for first in range(0, span.count, _CHUNKS * CHUNK):
            count = min(_CHUNKS * CHUNK, span.count - first)
            data = buffer[: count * span.dtype.itemsize]
            model.read_into(span, first, count, data)
            digests += chunk_digests(data, span.dtype.itemsize)
            with lock:
                tell(Progress(data.nbytes))
        with lock:
            found[span.name] = combined(digests)

    spans = list(model.tensors.values()) if spans is None else spans
    tell(PassStarted("verifying", sum(span.nbytes for span in spans)))
    widest = max((span.dtype.itemsize for span in spans), default=1)
    run_jobs(spans, work, [np.empty(_CHUNKS * CHUNK * widest, np.uint8) for _ in range(threads)])
    return found
