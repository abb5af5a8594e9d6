"""mixmerge verify: recompute the fingerprints of a merged model."""

from __future__ import annotations

from typing import Annotated

from mixmerge.cli.options import argument, option
from mixmerge.cli.progress import shown
from mixmerge.errors import legible
from mixmerge.startup import quick_loading


def verify(
    out: Annotated[str, argument("OUT", "A folder that `mixmerge merge` wrote.")],
    threads: Annotated[int, option("--threads", metavar="N", low=1, help="Threads that read.")] = 1,
    quiet: Annotated[bool, option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Recompute the fingerprint of every tensor in OUT and compare it with the record in OUT/mixmerge.json.

    Exit code 0: all bytes are those that were written. 1: some differ, or a file is gone; each is named. 2: OUT holds
    no record.
    """
    with quick_loading():
        from mixmerge import api
    with shown(quiet=quiet) as meter:
        record = api.verify(out, threads=threads, listeners=[meter])
    print(f"{legible(out)}: all {len(record['output'])} tensors have the bytes their record states")
