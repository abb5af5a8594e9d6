"""The place of an output: the folder it is written in, what may be replaced, and how the finished one gets its name.

It knows paths, names and renaming. What an unfinished folder holds, and what was merged, is others' business. Nothing
is removed here but what this program may have made: a model's folder, or an empty one.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from mixmerge import fileio
from mixmerge.errors import OutputError, Problem

RECORD: Final = "mixmerge.json"
"""What every merged model has beside its weights."""

_MADE: Final = "an output folder can be made where it is asked for"


def partial_folder(out: Path) -> Path:
    """Where a model is written until it is complete: beside `out`, on the same disk. Raises OutputError for a root."""
    whole = Path(os.path.abspath(out))
    if not whole.name:
        raise OutputError(Problem(_MADE, "a whole disk", str(out), "choose another folder"))
    return whole.with_name(whole.name + ".partial")


def check_parent(out: Path) -> None:
    """A folder of that name can be made: what stands above it is a folder and may be written to. Raises OutputError."""
    partial = partial_folder(out)
    cure = "choose another folder"
    try:
        os.fsencode(partial).decode("utf-8")
        parent = next(path for path in partial.parents if os.path.lexists(path))
        for name in partial.relative_to(parent).parts:
            with contextlib.suppress(FileNotFoundError):
                os.lstat(parent / name)  # one name too long is told only where the folder around it exists
    except (OSError, ValueError) as error:
        found = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise OutputError(Problem(_MADE, found, str(out), cure)) from error
    if not parent.is_dir():
        raise OutputError(Problem(_MADE, f"{parent} is no folder", str(out), cure))
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(Problem(_MADE, f"{parent} may not be written to", str(out), f"{cure}, or its permissions"))


def check_target(out: Path, overwrite: bool) -> None:
    """Refuse to replace anything without leave, and with leave anything but a model or an empty folder."""
    if not os.path.lexists(out):
        return
    if not overwrite:
        rule, cure = "an output folder is a new one", "choose another folder, or allow overwriting"
        raise OutputError(Problem(rule, "something of that name", str(out), cure))
    found = _no_model(out)
    if found:
        rule = "overwriting replaces a whole folder, so it must be a model or empty"
        raise OutputError(Problem(rule, found, str(out), "choose another folder"))


def _no_model(out: Path) -> str:
    """What makes something other than a model or an empty folder of it; nothing where it is one."""
    if not out.is_dir():
        return "a file"
    entries = sorted(out.iterdir())
    names = [path.name for path in entries]
    if not names or RECORD in names:
        return ""
    if not any(name.endswith(".safetensors") for name in names):
        own = next((name for name in names if name != "config.json"), names[0])
        return f"a folder with {own!r} in it, without weights"
    folder = next((path.name for path in entries if path.is_dir()), None)
    return "" if folder is None else f"a folder with the folder {folder!r} in it, and no {RECORD}"


def publish(
    partial: Path,
    out: Path,
    overwrite: bool,
    *,
    resumed: bool = False,
    without: Sequence[str] = (),
    inputs: Sequence[Path] = (),
) -> None:
    """Give the finished folder `partial` the name `out`, both in one parent folder.

    overwrite: a model that has the name `out` is moved aside, and removed once the new one has its name; if
    that fails it is moved back. resumed: after a process that may have been killed in between; what it moved aside is
    removed too. without: files that are removed once the name is given. inputs: folders that stay whatever they are
    called. Raises OutputError if `out` exists and may not be overwritten or is no model, OSError as the system does.
    """
    check_target(out, overwrite)
    fileio.sync_folder(partial)
    aside = _move_aside(out)
    try:
        partial.rename(out)
    except BaseException:
        if aside is not None:
            aside.rename(out)
        raise
    for name in without:
        (out / name).unlink(missing_ok=True)
    fileio.sync_folder(out)
    fileio.sync_folder(out.parent)
    if aside is not None:
        _remove_all(aside)
    for left in moved_aside(out) if overwrite or resumed else ():
        if not any(_lies_in(folder, left) for folder in inputs):
            _remove_all(left)


def _move_aside(out: Path) -> Path | None:
    if not os.path.lexists(out):
        return None
    aside = out.with_name(f"{out.name}.replaced-{os.getpid()}")
    out.rename(aside)
    return aside


def moved_aside(out: Path) -> tuple[Path, ...]:
    """Models that were to be replaced by `out`, and were moved aside for it: by this process, or by one that ended."""
    return tuple(_aside(out))


def _aside(out: Path) -> Iterator[Path]:
    if not out.parent.is_dir():
        return
    for path in sorted(out.parent.iterdir()):
        left = re.fullmatch(re.escape(out.name) + r"\.replaced-\d+", path.name)
        if left and (path.is_symlink() or not _no_model(path)):
            yield path


def _lies_in(inner: Path, outer: Path) -> bool:
    whole = Path(os.path.realpath(inner))
    return Path(os.path.realpath(outer)) in (whole, *whole.parents)


def _remove_all(path: Path) -> None:
    """Remove a folder, or a link to one. What cannot be removed stays under its temporary name."""
    with contextlib.suppress(OSError):
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path)
