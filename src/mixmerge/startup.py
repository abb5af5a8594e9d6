"""What makes the start of a command quick: loading modules without looking for garbage, and without idle threads.

Only the command line uses it, a library leaves the process it is in alone. It knows no modules of ours.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

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
