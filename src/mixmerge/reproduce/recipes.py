"""Recipes of the paper's merges: YAML that `mixmerge merge` takes as it is, each setting with where it comes from.

Texts only. The paper's code draws λ without a seed; here every merge has a seed of its own, made from the run's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import xxhash

from mixmerge import fileio
from mixmerge.errors import OutputError, Problem
from mixmerge.reproduce import grid
from mixmerge.reproduce.grid import ARM_WORDS, ARMS, BASE, METHODS, MODELS, PAIRS, Arm, Merge
from mixmerge.reproduce.published import SOURCE

_PLAIN: Final = re.compile(r"[A-Za-z./][A-Za-z0-9._/-]*", re.ASCII)


def merge_seed(merge: Merge, seed: int) -> int:
    """Seed of one merge of a run, in [0, 2**31): the same for every table that needs that merge, another for others."""
    return xxhash.xxh3_64_intdigest(f"{seed}\0{merge.name}".encode()) % 2**31


def recipe_text(
    merge: Merge, arm: Arm, models: Mapping[str, str], seed: int, ratio: Sequence[float] | None = None
) -> str:
    """The recipe of a merge. models: folder or hub id by role. seed: of the run. ratio: in place of a draw."""
    own = merge_seed(merge, seed)
    lines = [
        f"# {merge.words}, {ARM_WORDS[arm]}: a merge of {SOURCE}.",
        "# scale, density and drop rate: defaults of the code its authors released.",
        f"merge_method: {METHODS[merge.method]}",
        f"base_model: {_scalar(models[BASE])}",
        "models:",
        *(f"  - model: {_scalar(models[role])}" for role in PAIRS[merge.pair]),
    ]
    if merge.method != "average":
        density = f"density: {grid.DENSITY}, " if merge.method == "ties" else ""
        lines.append(f"parameters: {{{density}scale: {grid.SCALE}}}")
    if merge.dare:
        lines.append(f"dare: {{drop_rate: {grid.DROP_RATE}, rescale: true}}")
    if arm == "with":
        lines += _mixup(merge, own, ratio)
    lines += [
        "dialect: paper",
        "tokenizer_source: union  # the released script adds to every model the tokens it lacks",
        f"seed: {own}",
    ]
    return "\n".join(lines) + "\n"


def _mixup(merge: Merge, own: int, ratio: Sequence[float] | None) -> list[str]:
    if ratio is not None:
        return [f"mixup: {{ratio: [{', '.join(f'{part:.6f}' for part in ratio)}]}}  # chosen, see the report"]
    if merge.alpha is not None:
        return [f"mixup: {{alpha: {merge.alpha}, seed: {own}}}"]
    note = f"# alpha: the released script's default; the paper's own for this merge is {grid.NOT_STATED}."
    return [note, f"mixup: {{alpha: {grid.ALPHA}, seed: {own}}}"]


def _scalar(text: str) -> str:
    """A text as YAML takes it: as it is where nothing in it means anything, else quoted as in JSON."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def file_name(merge: Merge, arm: Arm) -> str:
    return f"{merge.name}-{arm}-m3.yaml"


def print_recipes(table: str, folder: str | Path, *, models: Mapping[str, str] = MODELS, seed: int = 0) -> list[Path]:
    """Write the recipes of a table into a folder, made where it is not there; the files, in the table's order.

    table: of `TABLES`. Files of the same names are refused before any is written. Raises OutputError.
    """
    place = Path(folder)
    texts = {
        place / file_name(cell.merge, arm): recipe_text(cell.merge, arm, models, seed)
        for cell in grid.TABLES[table].cells
        for arm in ARMS
    }
    there = [path for path in texts if fileio.exists(path)]
    if there:
        cure = "name another folder, or move it away"
        raise OutputError([Problem("recipes do not replace a file", "it exists", str(path), cure) for path in there])
    try:
        place.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            fileio.atomic_write(path, text.encode())
    except OSError as error:
        why = error.strerror or str(error)
        raise OutputError(Problem("recipes can be written", why, str(place), "name another folder")) from error
    return list(texts)
