"""Whether an output can be written where it is asked for: its place, apart from every input, and the disk's room.

It looks at folders and disks; it knows nothing of tensors, and writes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mixmerge import fileio
from mixmerge.checkpoint import Checkpoint, check_parent, partial_folder
from mixmerge.errors import OutputError, Problem


def check_output(out: Path, needed: int, models: Sequence[Checkpoint]) -> None:
    """The output can be made, lies in no input, no input in it, and the disk has room. Raises OutputError.

    The same holds for the folder it is written in until it is complete; what an interrupted merge holds there is room.
    Where the output is a link, that folder stands beside the link, and replaces it.
    """
    check_parent(out)
    problems = []
    target, unfinished = Path(os.path.realpath(out)), partial_folder(out)
    places = (target, Path(os.path.realpath(unfinished)))
    for model in models:
        for given in dict.fromkeys([model.folder, *(file.parent for file in model.all_files)]):
            folder = Path(os.path.realpath(given))
            if any(_lies_in(place, folder) or _lies_in(folder, place) for place in places):
                rule, cure = "the output lies outside every input", "choose another output folder"
                problems.append(Problem(rule, str(out), f"model {model.label} in {given}", cure))
    free = fileio.free_space(unfinished) + _held(unfinished)
    if free < needed:
        rule, cure = "the disk has room for the output", "free space, or choose another disk"
        problems.append(Problem(rule, f"{needed:,} bytes needed, {free:,} free", str(unfinished.parent), cure))
    if problems:
        raise OutputError(problems)


def _lies_in(inner: Path, outer: Path) -> bool:
    """Whether `inner` is the folder `outer`, or lies in it. One folder may have names that differ in case (macOS)."""
    return outer.is_dir() and any(path.exists() and path.samefile(outer) for path in (inner, *inner.parents))


def _held(folder: Path) -> int:
    """Bytes on disk of the files in a folder; a file of which only the length was set holds none."""
    if not folder.is_dir():
        return 0
    stats = [path.stat() for path in folder.iterdir() if path.is_file()]
    return sum(getattr(stat, "st_blocks", 0) * 512 for stat in stats)
