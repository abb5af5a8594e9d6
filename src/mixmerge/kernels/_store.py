"""Machine code of compiled loops in a folder of the user's, and in this process: loaded by LLVM, without Numba.

Numba takes most of a second to import, which is longer than a merge of a small model takes. So each loop's machine
code is kept as an object file, and from the second merge on nothing but llvmlite's binding is needed to run it. The
folder is named after everything that the code depends on: the text of all kernels, the versions of Numba, llvmlite and
numpy, the processor, and Numba's own settings. Knows files and addresses; nothing of what the loops do.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mixmerge.fileio import atomic_write, lock

_IGNORED: Final = frozenset({"NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS"})
"""Numba's settings that change no machine code."""

_PATIENCE: Final = 60.0
"""Seconds to wait for another process that compiles the same loop: several times what it takes."""

_STEP: Final = 0.05
"""Seconds between two looks whether it is done."""

_LOADED: Final[list[Any]] = []
"""Engines, which own the machine code in memory; it stays as long as the process does."""


@dataclass(frozen=True, slots=True)
class MachineCode:
    """One loop for arguments of certain types. symbol: its name in the object; returns: "int64" or "none"."""

    symbol: str
    returns: str
    object: bytes


def cache_folder() -> Path:
    """Where compiled loops are kept: in the person's NUMBA_CACHE_DIR, else in the user's cache."""
    root = os.environ.get("NUMBA_CACHE_DIR") or os.path.join(_user_cache(), "mixmerge")
    return Path(root) / f"kernels-{_dependencies(Path(__file__).parent)}"


def _user_cache() -> str:
    return os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")


@functools.cache
def _dependencies(sources: Path) -> str:
    """Of everything that machine code depends on. sources: the folder of the kernels' text."""
    texts = b"".join(path.read_bytes() for path in sorted(sources.glob("*.py")))
    settings = sorted(pair for pair in os.environ.items() if pair[0].startswith("NUMBA_") and pair[0] not in _IGNORED)
    rest = [np.__version__, _version("numba"), _version("llvmlite"), _processor(), settings]
    return hashlib.sha256(texts + json.dumps(rest).encode()).hexdigest()[:16]


def _version(package: str) -> str:
    """The version a package of Numba's makers states in its own file: asking the installation takes ten times as
    long, and importing Numba a hundred times. "" where it has none."""
    found = importlib.util.find_spec(package)
    try:
        return "" if found is None or found.origin is None else Path(found.origin).with_name("_version.py").read_text()
    except OSError:
        return ""


@functools.cache
def _processor() -> str:
    import llvmlite.binding as llvm

    return f"{llvm.get_process_triple()} {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


def target_machine() -> Any:
    """LLVM's target for code that runs in this process, on this processor, with the settings Numba has for it."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="static" if target.name.startswith("x86") else "default",
        codemodel="jitdefault",
        jit=True,
    )


def address_of(code: MachineCode) -> int:
    """Where the loop lies in memory, once its machine code has been loaded there."""
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())
    engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code.object))
    engine.finalize_object()
    found = int(engine.get_function_address(code.symbol))
    if not found:
        raise ValueError(f"machine code without {code.symbol}")
    _LOADED.append(engine)
    return found


def kept(name: str, form: str) -> MachineCode | None:
    """The stored machine code of a loop for arguments of a form; None where there is none, or none that is whole."""
    try:
        data = _path(name, form).read_bytes()
        digest, head, machine = data.split(b"\n", 2)
        if digest.decode() != hashlib.sha256(data[len(digest) + 1 :]).hexdigest():
            return None
        symbol, returns = json.loads(head)
    except (OSError, ValueError):
        return None
    return MachineCode(symbol, returns, machine)


def keep(name: str, form: str, code: MachineCode) -> None:
    """Store it, where the folder can be written: in a container that cannot, it is compiled in every process."""
    rest = json.dumps([code.symbol, code.returns]).encode() + b"\n" + code.object
    path = _path(name, form)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)
    except OSError:
        return


@contextmanager
def turn(name: str, form: str) -> Iterator[None]:
    """Held by one process at a time, so that those that begin together compile a loop once. Whoever has waited long
    enough goes on without it: its holder may be stopped. It ends with the process that holds it."""
    try:
        place = _path(name, form).with_suffix(".lock")
        place.parent.mkdir(parents=True, exist_ok=True)
        held = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:  # nothing can be kept there either
        yield
        return
    try:
        end = time.monotonic() + _PATIENCE
        while not lock(held) and time.monotonic() < end:
            time.sleep(_STEP)
        yield
    finally:
        os.close(held)


def any_kept(name: str = "*") -> bool:
    """Whether machine code of a loop, or of any, is stored for this processor and these versions."""
    return next(_stored(name), None) is not None


def _stored(name: str) -> Iterator[Path]:
    try:
        yield from cache_folder().glob(f"{name}-*.code")
    except OSError:
        return


def _path(name: str, form: str) -> Path:
    return cache_folder() / f"{name}-{hashlib.sha256(form.encode()).hexdigest()[:16]}.code"
