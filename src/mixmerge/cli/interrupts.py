"""Control-C that is not lost: where something swallows it (a finaliser, a callback of compiled code), it is raised
again at the next event.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def kept_interrupts() -> Iterator[Callable[[object], None]]:
    """A listener that raises KeyboardInterrupt where one was asked for before. Other handlers than Python's stay."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.default_int_handler(number, frame)

    def again(_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield again
        return
    signal.signal(signal.SIGINT, ask)
    try:
        yield again
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
