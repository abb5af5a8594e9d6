"""study.json: what a study is, so that only the same study is ever gone on with.

It names everything scores and draws depend on. How many draws, workers and threads is not part of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mixmerge import fileio
from mixmerge.errors import OutputError, PlanError, Problem

FILE: Final = "study.json"
SCHEMA: Final = 1
Identity = dict[str, Any]

_LEFT: Final = re.compile(r"study\.lock|\.study\.json\.\d+\.tmp")
"""What a study leaves that was killed before study.json was whole."""

_FREE: Final = ("versions", "created", "notes", "models", "places", "study")
"""Told in study.json, but free to differ when a study goes on. The storage need not be said again."""

_FORM: Final[Mapping[str, type | tuple[type, ...]]] = {
    "study": str, "recipe": str, "method": str, "dialect": str, "sources": list, "models": list, "inputs": dict,
    "scope": str, "alpha": list, "groups": list, "centre": list, "vary": dict, "tasks": dict, "baselines": dict,
    "seed": int, "sampler": str, "storage": (str, type(None)), "notes": list, "versions": dict, "created": str,
}  # fmt: skip
"""What a study cannot be read without. Others came later, or are there only where they say something."""

_OF_TASK: Final = ("metric", "weight", "validation_n", "test_n")

_DIGESTS: Final = ("fingerprint", "split")


def open_identity(folder: Path, identity: Identity) -> Identity:
    """Begin the study of a folder, or make sure it is this one; returns what study.json says.

    Raises PlanError with every difference, OutputError where the folder holds something else.
    """
    if not fileio.exists(folder / FILE):
        refuse_strange(folder)
        folder.mkdir(parents=True, exist_ok=True)
        fileio.atomic_write(folder / FILE, (json.dumps(identity, indent=1, ensure_ascii=False) + "\n").encode())
        return identity
    known = read_identity(folder)
    problems = list(_differences(known, json.loads(json.dumps(identity)), folder))
    if problems:
        raise PlanError(problems)
    return known


def read_identity(folder: Path) -> Identity:
    """What study.json says. Raises OutputError where there is none, one of another schema, or a damaged one."""
    path = folder / FILE
    try:
        content = json.loads(path.read_text("utf-8"))
        schema = content["schema"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        rule, cure = f"a study's folder holds {FILE}", "give the folder that `mixmerge explore` wrote"
        found = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        if isinstance(error, KeyError):
            found = f"{FILE} with no key {error}"
        elif not fileio.exists(folder):
            found, cure = "no such folder", fileio.mistyped(folder) or cure
        raise OutputError(Problem(rule, found, str(folder), cure)) from error
    if schema != SCHEMA:
        raise OutputError(Problem(f"{FILE} has schema {SCHEMA}", repr(schema), str(path), "use a matching Mixmerge"))
    if damage := list(_damage(content)):
        rule, cure = f"{FILE} is as `mixmerge explore` wrote it", "restore it from a copy, or begin another study"
        raise OutputError([Problem(rule, found, str(path), cure) for found in damage])
    return content  # type: ignore[no-any-return]


def _damage(content: Mapping[str, Any]) -> Iterator[str]:
    """What was taken out of a study.json, or changed into something else."""
    for key, kind in _FORM.items():
        if key not in content:
            yield f"no key {key!r}"
        elif not isinstance(content[key], kind):
            yield f"{key} is {_short(content[key])}"
    tasks = content.get("tasks")
    for name, task in tasks.items() if isinstance(tasks, dict) else ():
        lacking = [key for key in _OF_TASK if not isinstance(task, dict) or key not in task]
        yield from (f"no key {key!r} in task {name!r}" for key in lacking)


def refuse_strange(folder: Path) -> None:
    """A new study begins in a folder that is not there, or empty but for what one killed at once left. Raises
    OutputError."""
    if fileio.exists(folder / FILE):
        return
    if why := fileio.hopeless(folder):
        rule, cure = "a study's folder can be made where it is asked for", "choose another folder"
        raise OutputError(Problem(rule, why, str(folder), cure))
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    strange = sorted(name for name in names if not _LEFT.fullmatch(name))
    if folder.exists() and (strange or not folder.is_dir()):
        rule, cure = "a new study begins in an empty folder", "choose another folder"
        found = f"it holds {', '.join(strange[:3])}" if strange else "a file"
        raise OutputError(Problem(rule, found, str(folder), cure))


def _differences(known: Mapping[str, Any], asked: Mapping[str, Any], folder: Path) -> list[Problem]:
    rule = "a study goes on as it began"
    cure = "give what it began with, or another folder for another study"
    return [
        Problem(rule, found, str(folder / FILE), cure)
        for key in dict.fromkeys((*known, *asked))
        if key not in _FREE and known.get(key) != asked.get(key) and not (key == "storage" and asked.get(key) is None)
        for found in _told(key, known.get(key), asked.get(key))
    ]


def _told(key: str, known: Any, asked: Any) -> Iterator[str]:
    """What differs, in words: of mappings the names, else what differs of them by name. Digests follow from the rest,
    and are told where nothing else differs."""
    if not isinstance(known, dict) or not isinstance(asked, dict):
        yield f"{key} was {_short(known)}, now {_short(asked)}"
    elif known.keys() != asked.keys():
        yield f"{key} was {_short(', '.join(known) or 'none')}, now {_short(', '.join(asked) or 'none')}"
    else:
        differing = [name for name in known if known[name] != asked[name]]
        for name in [one for one in differing if one not in _DIGESTS] or differing:
            yield from _told(f"{key}.{name}", known[name], asked[name])


def _short(value: Any) -> str:
    text = value.strip().replace("\n", "; ") if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 200 else text[:197] + "..."
