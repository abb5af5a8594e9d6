"""Models of the Hugging Face hub: their headers before their weights.

A model is looked for on this disk, then in the hub's cache (so that it is found without a network), then on
the hub, where only the listing, the small JSON files and the headers are fetched, through range requests. The
weights come with `download`, once the plan stands. It uses huggingface_hub's public functions, imported where
they are called, and knows nothing of recipes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, Generic, TypeVar, final

from mixmerge import fileio
from mixmerge.checkpoint.folder import Folder
from mixmerge.checkpoint.index import ADAPTER, ADAPTER_CONFIG
from mixmerge.checkpoint.lora import Adapter
from mixmerge.checkpoint.lora_reader import load_adapter, open_adapter
from mixmerge.checkpoint.reader import Checkpoint, Origin, load_checkpoint, open_checkpoint
from mixmerge.errors import CheckpointError, ModelNotFoundError, Problem

SMALL_FILES: Final = ("*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken")
"""What a model needs beside its weights: configuration, tokenizer, chat template."""

T = TypeVar("T")

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_ADDRESS: Final = re.compile(
    r"https?://([^/\s@]*@)?(huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+?)(\.git)?(/tree/([\w.-]+))?/?", re.ASCII
)
"""What a browser shows of a model of the hub."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def resolve(model: str, revision: str | None = None, *, label: str | None = None) -> Checkpoint:
    """Find a model: an existing path, else a snapshot in the hub's cache, else the hub itself.

    revision: branch, tag or commit of a hub model; a path has none. label: how errors name the model; `model`
    itself if None. The checkpoint of a model on the hub has `is_local` false, and the paths its files will
    have after `download`. A cached snapshot is taken without asking the hub whether the branch has moved; its
    commit is in `origin`. Raises ModelNotFoundError, or CheckpointError with everything wrong in it.
    """
    return _found(model, revision, model if label is None else label, _CHECKPOINT)


def resolve_adapter(model: str, revision: str | None = None, *, label: str | None = None) -> Adapter:
    """Find a LoRA adapter, as `resolve` finds a model, and with the same errors; fetch it with `download_adapter`."""
    return _found(model, revision, model if label is None else label, _ADAPTER)


@dataclass(frozen=True, slots=True)
class _Kind(Generic[T]):
    """What may lie in a repository. opened: (folder on this disk, label, origin). loaded: (any folder, label, origin),
    of what is not on this disk. files: patterns of those a cached snapshot must have."""

    opened: Callable[[Path, str, Origin | None], T]
    loaded: Callable[[Folder, str, Origin], T]
    files: Sequence[str]


_CHECKPOINT: Final[_Kind[Checkpoint]] = _Kind(
    lambda folder, label, origin: open_checkpoint(folder, label, origin=origin),
    lambda folder, label, origin: load_checkpoint(folder, label, origin=origin, is_local=False),
    ("*.safetensors", *SMALL_FILES),
)
_ADAPTER: Final[_Kind[Adapter]] = _Kind(
    lambda folder, label, origin: open_adapter(folder, label, origin=origin),
    lambda folder, label, origin: load_adapter(folder, label, origin=origin, is_local=False),
    (ADAPTER, ADAPTER_CONFIG),
)


def _found(model: str, revision: str | None, label: str, kind: _Kind[T]) -> T:
    path = fileio.expanded(model)
    if model and fileio.exists(path):
        return kind.opened(path, label, None)
    if not _is_hub_id(model):
        rule = "a model is a local folder or a hub id (owner/name)"
        cure = _as_id(model) or fileio.mistyped(path) or "check the path"
        raise ModelNotFoundError(Problem(rule, "neither", f"model {label!r}, path {model}", cure))
    cached = _from_cache(model, revision, label, kind)
    if cached is not None and not isinstance(cached, CheckpointError):
        return cached
    try:
        return _from_hub(model, revision, label, kind)
    except ModelNotFoundError as error:
        folder = fileio.mistyped(path)
        told = [replace(one, cure=f"{folder} Or {one.cure}") for one in error.problems] if folder else error.problems
        raise ModelNotFoundError((*told, *(cached.problems if cached else ()))) from error


def _as_id(address: str) -> str:
    """The way out where a model is given by its page's address; empty for what is none."""
    page = _ADDRESS.fullmatch(address)
    return "" if page is None else f"say {page[3]}{'@' + page[6] if page[6] else ''}"


def _is_hub_id(model: str) -> bool:
    """Whether the hub could have a model of that name: of plain characters, and as huggingface_hub asks beyond that."""
    if not _HUB_ID.fullmatch(model):
        return False
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(model)
    except HFValidationError:
        return False
    return True


def download(remote: Checkpoint, label: str | None = None) -> Checkpoint:
    """Fetch the weights and small files of a checkpoint that `resolve` found on the hub, and open that commit locally.

    label: another name for it. Files that are in the cache already are not fetched again; an interrupted download goes
    on.
    Raises ModelNotFoundError if the hub cannot be reached, CheckpointError if what came is broken.
    """
    from huggingface_hub import snapshot_download

    origin = remote.origin
    assert origin is not None, "a model that is not from the hub"
    wanted = [*(file.name for file in remote.files), *SMALL_FILES]
    with _told(origin.model, remote.label):
        # by the name asked for, so that the cache learns which commit it means; then the commit that was planned
        snapshot_download(origin.model, revision=origin.revision, allow_patterns=["config.json"])
        folder = snapshot_download(origin.model, revision=origin.commit, allow_patterns=wanted, ignore_patterns=["*/*"])
    return _open_snapshot(Path(folder), origin.model, origin.revision, label or remote.label, _CHECKPOINT)


def download_adapter(remote: Adapter) -> Adapter:
    """Fetch the two files of an adapter that `resolve_adapter` found on the hub, and open it locally; as `download`."""
    from huggingface_hub import snapshot_download

    origin = remote.origin
    assert origin is not None, "an adapter that is not from the hub"
    with _told(origin.model, remote.label):
        snapshot_download(origin.model, revision=origin.revision, allow_patterns=[ADAPTER_CONFIG])  # as `download` does
        folder = snapshot_download(origin.model, revision=origin.commit, allow_patterns=[ADAPTER, ADAPTER_CONFIG])
    return _open_snapshot(Path(folder), origin.model, origin.revision, remote.label, _ADAPTER)


def fetch_small(remote: Checkpoint) -> None:
    """Fetch the small files of a checkpoint that `resolve` found on the hub: a plan looks at tokenizers too.

    They lie in `remote.folder` then. Raises ModelNotFoundError if the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download

    origin = remote.origin
    assert origin is not None, "a model that is not from the hub"
    with _told(origin.model, remote.label):
        snapshot_download(
            origin.model, revision=origin.commit, allow_patterns=[*SMALL_FILES], ignore_patterns=["*/*", "*.index.json"]
        )


def _from_cache(model: str, revision: str | None, label: str, kind: _Kind[T]) -> T | CheckpointError | None:
    """The snapshot the cache holds, what is wrong with it (it may be there in part), or None without one."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            model,
            revision=revision,
            local_files_only=True,
            allow_patterns=[*kind.files],
            ignore_patterns=["*/*"],
        )
        return _open_snapshot(Path(folder), model, revision, label, kind)
    except LocalEntryNotFoundError:
        return None
    except CheckpointError as error:
        return error


def _open_snapshot(folder: Path, model: str, revision: str | None, label: str, kind: _Kind[T]) -> T:
    """Open a folder of the hub's cache. Weight files are links there, named after their sha256."""
    blobs = {file.name: file.resolve().name for file in folder.glob("*.safetensors")}
    digests = {name: blob for name, blob in sorted(blobs.items()) if _SHA256.fullmatch(blob)}
    origin = Origin(model, revision, folder.name, MappingProxyType(digests))
    return kind.opened(folder, label, origin)


def _from_hub(model: str, revision: str | None, label: str, kind: _Kind[T]) -> T:
    from huggingface_hub import HfApi

    with _told(model, label):
        info = HfApi().model_info(model, revision=revision, files_metadata=True, timeout=_timeout())
        commit = info.sha or revision or "main"
        files = [file for file in info.siblings or [] if "/" not in file.rfilename]
        weights = {file.rfilename: file.lfs for file in files if file.rfilename.endswith(".safetensors")}
        digests = {name: lfs.sha256 for name, lfs in sorted(weights.items()) if lfs is not None}
        folder = HubFolder(model, commit, {file.rfilename: file.size or 0 for file in files})
        origin = Origin(model, revision, commit, MappingProxyType(digests))
        return kind.loaded(folder, label, origin)


@contextlib.contextmanager
def _told(model: str, label: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into an error that names the model and the way out."""
    from huggingface_hub import errors

    place = f"model {label!r}, hub id {model}"
    try:
        yield
    except CheckpointError:
        raise
    except errors.GatedRepoError as error:
        cure = f"ask for access on the page of {model}, then run: hf auth login"
        raise ModelNotFoundError(Problem("the model may be read", _first_line(error), place, cure)) from error
    except errors.RevisionNotFoundError as error:
        rule, cure = "the model has the revision asked for", "check the branch, tag or commit"
        raise ModelNotFoundError(Problem(rule, _first_line(error), place, cure)) from error
    except errors.RepositoryNotFoundError as error:
        rule = "a model is a local folder or a hub id that exists"
        cure = "check the spelling; for a private model run: hf auth login"
        raise ModelNotFoundError(Problem(rule, _first_line(error), place, cure)) from error
    except (OSError, errors.HTTPError) as error:  # the latter is httpx's
        rule = "a model that is not on this disk is read from the hub"
        cure = "check network, HF_HUB_OFFLINE, HF_ENDPOINT and the cache's disk, or give the path of a local folder"
        found = f"{type(error).__name__}: {_first_line(error)}"
        raise ModelNotFoundError(Problem(rule, found, place, cure)) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _timeout() -> float:
    from huggingface_hub import constants

    seconds: float = constants.HF_HUB_DOWNLOAD_TIMEOUT
    return seconds


@final
class HubFolder(Folder):
    """The files of one commit of a hub model, read by range over HTTP. sizes: bytes by file name."""

    __slots__ = ("_commit", "_model", "_root", "_sizes")

    def __init__(self, model: str, commit: str, sizes: Mapping[str, int]) -> None:
        from huggingface_hub import constants

        self._model = model
        self._commit = commit
        self._sizes = dict(sorted(sizes.items()))
        snapshots = Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}" / "snapshots"
        self._root = snapshots.expanduser().resolve() / commit

    @property
    def root(self) -> Path:
        return self._root

    @property
    def workers(self) -> int:
        return 8

    def sizes(self) -> dict[str, int]:
        return dict(self._sizes)

    def place(self, name: str) -> str:
        return self._url(name)

    def read(self, name: str, offset: int, size: int) -> bytes:
        data = read_range(self._url(name), offset, size) if size else b""
        if len(data) < size:
            raise EOFError(f"the hub sent {len(data)} bytes of {size} from byte {offset}")
        return data

    def _url(self, name: str) -> str:
        from huggingface_hub import hf_hub_url

        url: str = hf_hub_url(self._model, name, revision=self._commit)
        return url


def read_range(url: str, offset: int, size: int) -> bytes:
    """At most `size` bytes of a file on the hub from byte `offset` on; the rest of it is never received.

    A server that ignores ranges is read from the start and cut off. Raises what huggingface_hub raises.
    """
    from huggingface_hub import hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers, http_stream_backoff

    wanted = {"Range": f"bytes={offset}-{offset + size - 1}", "Accept-Encoding": "identity"}
    headers = {**build_hf_headers(), **wanted}
    with http_stream_backoff("GET", url, headers=headers, timeout=_timeout(), max_retries=2) as response:
        hf_raise_for_status(response)
        skip = 0 if response.status_code == 206 else offset
        data = bytearray()
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) >= skip + size:
                break
        return bytes(data[skip : skip + size])
