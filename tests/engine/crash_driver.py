"""Runs merges that are killed, each in a child process of this one: python crash_driver.py ORDERS.json

ORDERS: {"orders": [{"recipe": YAML, "out": folder, "at": [what, number]}]}. `what` names the place where SIGKILL comes:
event (after that many events), write (in the middle of that many-th block), small (before that many-th small file gets
its name), publish (before the folder gets its name), published (after). Prints one line an order: how its child ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from mixmerge import api, fileio
from mixmerge.checkpoint import CheckpointWriter
from mixmerge.engine import Event, folder
from mixmerge.recipe import parse_recipe


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Countdown:
    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


def arm(what: str, number: int) -> Any:
    """Patch this process so that it dies at the place; returns a listener."""
    due = Countdown(number)
    if what == "write":
        write = CheckpointWriter.write

        def torn(self: CheckpointWriter, name: str, first: int, data: Any) -> None:
            if due():
                write(self, name, first, data[: data.size // 2 // 8 * 8])
                die()
            write(self, name, first, data)

        CheckpointWriter.write = torn  # type: ignore[method-assign]
    elif what == "small":
        atomic = fileio.atomic_write

        def cut(path: Path, data: bytes) -> None:
            if due():
                os.replace = lambda *_: die()  # type: ignore[assignment]
            atomic(path, data)

        fileio.atomic_write = cut
    elif what in ("publish", "published"):
        publish = folder.publish

        def killed(*arguments: Any, **named: Any) -> None:
            if what == "published":
                publish(*arguments, **named)
            die()

        folder.publish = killed  # type: ignore[assignment]

    def listen(event: Event) -> None:
        if what == "event" and due():
            die()

    return listen


def main(path: str) -> None:
    orders = json.loads(Path(path).read_text())["orders"]
    for number, recipe in enumerate(dict.fromkeys(order["recipe"] for order in orders)):
        # The children share what this process has imported and compiled.
        api.merge(parse_recipe(recipe), Path(path).with_name(f"warm-{number}"), threads=1)
    for order in orders:
        child = os.fork()
        if child == 0:
            listener = arm(*order["at"])
            api.merge(parse_recipe(order["recipe"]), order["out"], listeners=[listener], threads=1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else f"exit {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
