"""A process of its own that compares mathematical answers: a line of JSON in, `true` or `false` out.

What models write can make a symbolic library compute for hours, or without end of memory (`9^{9^{9}}`). So it runs
here, with bounded memory and seconds of the processor for each comparison; beyond them the system ends it. It knows
math-verify; it knows no tasks. Not imported, but run as a program by `equivalence`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import resource
import sys
import time
from importlib import import_module
from typing import Any, Final

MEMORY: Final = 2_000_000_000  # bytes of address space
SECONDS: Final = 5  # of the processor, for one comparison; not of the clock, so that a busy machine scores the same


def equal(reference: str, answer: str) -> bool:
    """Whether two LaTeX expressions mean the same: of math-verify, strictly (variables keep their names)."""
    wanted, given = _parsed(reference), _parsed(answer)
    return bool(wanted and given and _library().verify(wanted, given, timeout_seconds=None))


def _parsed(latex: str) -> list[Any]:
    library = _library()
    how = [library.LatexExtractionConfig()]
    return list(library.parse(f"${latex}$", extraction_config=how, parsing_timeout=None))


def _library() -> Any:
    return import_module("math_verify")


def _limit(kind: int, value: int) -> None:
    """Set a limit, or leave the stricter one there is; macOS has none of address space."""
    ceiling = resource.getrlimit(kind)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (value if ceiling == resource.RLIM_INFINITY else min(value, ceiling), ceiling))


def main() -> None:
    """Say `ready`, then answer until the other side closes the pipe."""
    _library()  # takes a second
    logging.disable(logging.CRITICAL)
    _limit(resource.RLIMIT_AS, MEMORY)
    _limit(resource.RLIMIT_CORE, 0)
    print("ready", flush=True)
    for line in sys.stdin:
        reference, answer = json.loads(line)
        _limit(resource.RLIMIT_CPU, math.ceil(time.process_time()) + SECONDS)
        try:
            found = equal(reference, answer)
        except (Exception, RecursionError, MemoryError):  # whatever sympy makes of a stranger's expression
            found = False
        print("true" if found else "false", flush=True)


if __name__ == "__main__":
    main()
