"""Which files of a folder make up a checkpoint, and which tensor the index says is where.

It knows file names and the index file's rules; it opens no shard. An index is text from a stranger: a name in
it may not lead out of the folder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Final

from mixmerge.checkpoint.folder import Folder
from mixmerge.checkpoint.problems import ProblemList, shorten
from mixmerge.checkpoint.strict_json import MalformedJsonError, parse_json
from mixmerge.errors import LISTED, CheckpointError, Problem

SINGLE: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
ADAPTER: Final = "adapter_model.safetensors"
ADAPTER_CONFIG: Final = "adapter_config.json"
MAX_INDEX: Final = 100_000_000  # bytes

_SUFFIX: Final = ".safetensors"
_OTHER_WEIGHTS: Final = (".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack")
_SHARD: Final = re.compile(r"(?P<stem>.*-)(?P<number>\d{5})-of-(?P<total>\d{5})\.safetensors")


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """The weight files of a checkpoint in their order, and the index's word on what each holds, if any."""

    names: tuple[str, ...]
    index: str | None
    weight_map: Mapping[str, str] | None


def find_weights(folder: Folder, sizes: Mapping[str, int], where: str) -> WeightFiles:
    """Choose the files that hold the weights. where: how errors name the model ("model 'a'").

    The index `model.safetensors.index.json` (or the only other index), else `model.safetensors`, else every
    safetensors file. Raises CheckpointError with all problems.
    """
    index = _find_index(sizes)
    if index is not None:
        found = _from_index(folder, index, sizes, where)
        if SINGLE in sizes and SINGLE not in found.names:
            raise CheckpointError(_two_sets(folder, index, where))
        return found
    if SINGLE in sizes:
        return WeightFiles((SINGLE,), None, None)
    names = tuple(sorted(name for name in sizes if name.endswith(_SUFFIX) and name != ADAPTER))
    if not names and ADAPTER_CONFIG in sizes:
        raise CheckpointError(_adapter_alone(folder, where))
    if not names:
        raise CheckpointError(_no_weights(folder, sizes, where))
    _check_numbering(folder, names, where)
    return WeightFiles(names, None, None)


def _find_index(sizes: Mapping[str, int]) -> str | None:
    if INDEX in sizes:
        return INDEX
    others = [name for name in sizes if name.endswith(_SUFFIX + ".index.json")]
    return others[0] if len(others) == 1 and SINGLE not in sizes else None


def _from_index(folder: Folder, index: str, sizes: Mapping[str, int], where: str) -> WeightFiles:
    place = f"{where}, file {folder.place(index)}"
    weight_map = _parse_index(_read_index(folder, index, sizes[index], place), place)
    names = tuple(sorted(set(weight_map.values())))
    problems = ProblemList(place)
    for name in names:
        _check_name(name, sizes, folder, problems)
    problems.raise_if_any()
    return WeightFiles(names, index, weight_map)


def _read_index(folder: Folder, index: str, size: int, place: str) -> bytes:
    if size > MAX_INDEX:
        rule = f"an index file is at most {MAX_INDEX:,} bytes long"
        raise CheckpointError(Problem(rule, f"{size:,} bytes", place, "save the model again"))
    try:
        return folder.read(index, 0, size)
    except EOFError as error:
        problem = Problem("an index file can be read", str(error), place, "download the model again")
        raise CheckpointError(problem) from error


def _parse_index(text: bytes, place: str) -> dict[str, str]:
    cure = "download the index again, or save the model again"
    try:
        content = parse_json(text)
    except MalformedJsonError as error:
        raise CheckpointError(Problem("an index file is JSON in UTF-8", str(error), place, cure)) from error
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        rule = "an index file has a weight_map from tensor names to file names"
        raise CheckpointError(Problem(rule, shorten(content), place, cure))
    problems = ProblemList(place)
    for tensor, file in weight_map.items():
        if not isinstance(file, str):
            problems.add("weight_map names one file for each tensor", shorten(file), tensor=tensor, cure=cure)
    problems.raise_if_any()
    return weight_map


def _check_name(name: str, sizes: Mapping[str, int], folder: Folder, problems: ProblemList) -> None:
    if not _plain(name):
        rule = "an index names safetensors files of its own folder, without any path"
        problems.add(rule, shorten(name), cure="do not trust this model, or put bare file names into its index")
    elif name not in sizes:
        found = f"no {name!r} in {folder.root}"
        cure = "download the missing file; the download was probably interrupted"
        problems.add("every file an index names is in its folder", found, cure=cure)


def _plain(name: str) -> bool:
    """Whether `name` is the bare name of a safetensors file, on any system."""
    bare = PurePosixPath(name).name == name and PureWindowsPath(name).name == name
    return bare and name.endswith(_SUFFIX) and name.isprintable()


def _check_numbering(folder: Folder, names: Sequence[str], where: str) -> None:
    """Without an index, the numbers in the names ("-00001-of-00003") tell whether a shard is missing."""
    problems = ProblemList(f"{where}, folder {folder.root}")
    present = set(names)
    shards = [match for name in names if (match := _SHARD.fullmatch(name))]
    for (stem, total), count in sorted(Counter((match["stem"], match["total"]) for match in shards).items()):
        if int(total) > count + LISTED:
            found, cure = f"{count} of {stem}*-of-{total}{_SUFFIX}", "download the missing files"
            problems.add(f"a model of {int(total)} files has all of them", found, cure=cure)
            continue
        for number in range(1, int(total) + 1):
            name = f"{stem}{number:05d}-of-{total}{_SUFFIX}"
            if name not in present:
                cure = "download the missing file; the download was probably interrupted"
                problems.add(f"a model of {int(total)} files has all of them", f"no {name!r}", cure=cure)
    problems.raise_if_any()


def _two_sets(folder: Folder, index: str, where: str) -> Problem:
    found = f"{SINGLE}, and {index} which names other files"
    cure = "remove the set of files that is out of date"
    return Problem("a model has one set of weights", found, f"{where}, folder {folder.root}", cure)


def _adapter_alone(folder: Folder, where: str) -> Problem:
    rule = "a model has all its weights; an adapter is named beside its base"
    cure = f"write BASE+{folder.root}, with the model it was trained on for BASE"
    return Problem(rule, f"{ADAPTER_CONFIG}: this is an adapter", f"{where}, folder {folder.root}", cure)


def _no_weights(folder: Folder, sizes: Mapping[str, int], where: str) -> Problem:
    others = [name for name in sizes if name.endswith(_OTHER_WEIGHTS)]
    if others:
        cure = (
            "convert it once: transformers.AutoModelForCausalLM.from_pretrained(folder, dtype='auto')"
            ".save_pretrained(new_folder)"
        )
        found = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
    else:
        found, cure = "no safetensors file", "check the path; it should hold model.safetensors or its shards"
    rule = "the weights of a model are safetensors files"
    return Problem(rule, found, f"{where}, folder {folder.root}", cure)
