"""Telling that a loop has to be compiled, and having that done, before a pass would seem to stand still for seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mixmerge.engine.events import COMPILING, Listener, PassStarted
from mixmerge.kernels import Kernels


def have_ready(kernels: Kernels, listen: Listener, kernel: Callable[..., Any], *arguments: Any) -> None:
    """Compile what such a call needs, where that has not been done on this machine; see `Kernels.make_ready`."""
    if not kernels.ready(kernel, *arguments):
        listen(PassStarted(COMPILING, 0))
        kernels.make_ready(kernel, *arguments)
