"""From what a person says of the models to a folder or hub id for every role. It looks at names and folders only."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from mixmerge.errors import Problem, nearest
from mixmerge.reproduce.grid import MODELS

SAID = "--models"


def named(words: Sequence[str], needed: Collection[str], problems: list[Problem]) -> Mapping[str, str]:
    """A name by role, for the roles that are needed; what is wrong is added to the problems.

    words: a folder that holds a folder for each role, and `role=NAME` with a folder or hub id, which wins. None: the
    hub. A folder has the role's name, or that of its repository.
    """
    said: dict[str, str] = {}
    folders = []
    for word in words:
        role, sign, name = word.partition("=")
        if sign and role in MODELS and name:
            said[role] = name
        elif os.path.isdir(Path(word).expanduser()):
            folders.append(Path(word).expanduser())
        else:
            problems.append(_unknown(word))
    found = {}
    for role in (role for role in MODELS if role in needed):
        found[role] = _one(role, said, folders, problems) or MODELS[role]
    return found


def _one(role: str, said: Mapping[str, str], folders: Sequence[Path], problems: list[Problem]) -> str | None:
    if role in said:
        name = said[role]
        if _looks_local(name) and not os.path.isdir(Path(name).expanduser()):
            cure = "give a folder with safetensors files, or a hub id as owner/name"
            problems.append(Problem(f"the model {role!r} is there", "no such folder", f"{SAID} {role}={name}", cure))
        return name
    names = (role, MODELS[role].rpartition("/")[2])
    for folder in folders:
        for name in names:
            if (folder / name).is_dir():
                return str(folder / name)
    if folders:
        cure = f"put it there as {names[0]} or {names[1]}, or say {SAID} {role}=FOLDER_OR_HUB_ID"
        place = ", ".join(map(str, folders))
        problems.append(Problem(f"the models' folder holds the model {role!r}", "no such folder in it", place, cure))
    return None


def _unknown(word: str) -> Problem:
    role, sign, name = word.partition("=")
    if sign and role in MODELS:
        return Problem("a model has a name", repr(name), f"{SAID} {word}", f"write {role}=FOLDER_OR_HUB_ID")
    if sign:
        return Problem("a model has a known role", repr(role), f"{SAID} {word}", nearest(role, MODELS))
    cure = f"name a folder of models, or one by one: {', '.join(f'{role}=NAME' for role in MODELS)}"
    return Problem("the models' folder exists", "no such folder", f"{SAID} {word}", cure)


def _looks_local(name: str) -> bool:
    """Whether it can be nothing but a path: a hub id is owner/name, or owner/name@revision."""
    return name.startswith((".", "/", "~")) or name.count("/") != 1
