"""How loops are compiled: Numba without fast maths, without the interpreter lock, cached on disk.

The cache folder is named after the text of all kernels, so an edited or upgraded kernel never meets stale machine code.
No floating-point rule is relaxed here: no reassociation, no contraction, one rounding an operation.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def _cache_folder() -> str:
    """Where compiled kernels are kept: in the person's NUMBA_CACHE_DIR, else in the user's cache."""
    texts = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    root = os.environ.get("NUMBA_CACHE_DIR") or os.path.join(_user_cache(), "mixmerge")
    return os.path.join(root, f"kernels-{hashlib.sha256(texts).hexdigest()[:16]}")


def _user_cache() -> str:
    return os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")


_FOLDER = _cache_folder()


def compiled(function: Callable[..., Any]) -> Any:
    """The function as machine code; compiled at its first call, then loaded from the cache.

    Where no cache folder can be written (a read-only container) it is compiled again in every process.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = _FOLDER
    try:
        return numba.njit(function, nogil=True, cache=True, error_model="numpy")
    except RuntimeError:
        return numba.njit(function, nogil=True, error_model="numpy")
    finally:
        numba.config.CACHE_DIR = before


def in_cache(function: Callable[..., Any]) -> bool:
    """Whether some compiled form of a function is in the cache, so that its first call will be quick."""
    return any(Path(_FOLDER).rglob(f"*.{function.__name__}-*.nbi"))


def part(function: Callable[..., Any]) -> Any:
    """The function as a part of compiled ones; not to be called from Python, which halves the time to compile it."""
    return numba.njit(function, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


def merged(function: Callable[..., Any]) -> Any:
    """As `part`, but written into its callers before types are known: for functions that are told `Lowered`, whose
    hundred words would be copied at every call."""
    return numba.njit(function, nogil=True, error_model="numpy", inline="always")
