"""Write models of a study to disk by the ordinary engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mixmerge.engine import Listener


def export(
    study_dir: str | Path,
    out: str | Path,
    *,
    trial: int | None = None,
    pareto: bool = False,
    push_to_hub: str | None = None,
    overwrite: bool = False,
    memory: int | None = None,
    threads: int | None = None,
    listeners: Sequence[Listener] = (),
) -> list[Path]:
    """Write the winner, trial number `trial`, or the whole Pareto set; returns the folders written.

    pareto: one folder a model, out/trial-00007 and so on. push_to_hub: a repository id to upload `out` to.
    """
    raise NotImplementedError
