"""What makes the start of a command quick: modules on first use, and loading without garbage and without idle threads.

It knows no modules of ours. What it does to the process it does for the command line: a library leaves that alone.
"""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

_THREADS: Final = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
"""Where OpenBLAS looks, as it is loaded, for how many threads to start."""


@contextmanager
def quick_loading() -> Iterator[None]:
    """Modules are loaded inside, and little else is done.

    What that makes is no garbage, so none is looked for. NumPy loaded here has linear algebra of one thread, unless the
    person said how many: merging needs none, and one a core would be started, each of which first spins for a while.
    """
    collecting = gc.isenabled()
    said = any(name in os.environ for name in _THREADS)
    gc.disable()
    if not said:
        os.environ[_THREADS[0]] = "1"
    try:
        yield
    finally:
        if not said:
            os.environ.pop(_THREADS[0], None)  # torch, and processes we start, see what the person set
        if collecting:
            gc.enable()


def quick_ending() -> None:
    """The process is about to end: the last collection has nothing to look at, and all memory goes back in one piece.

    Files are closed and exit handlers run as ever; what is left out is taking every module apart, object by object.
    """
    gc.freeze()


def on_first_use(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__`: names whose modules are imported when they are asked for. homes: name -> module."""

    def found(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return found
