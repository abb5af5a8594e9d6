"""A server for one model: started by a command of the person, asked until it answers, ended with all it started.

The command is theirs and runs as they do; it is never read from a recipe. Knows nothing of merging and of tasks.
"""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mixmerge.errors import Problem
from mixmerge.evaluation import BackendError, OpenAIBackend
from mixmerge.evaluation.http import opened
from mixmerge.study import guard

SERVE_TIMEOUT: Final = 600.0
HERE: Final = "http://127.0.0.1:{port}/v1"
PAUSE: Final = 0.2  # seconds between two questions whether it is there
LOADING: Final = (502, 503, 504)
"""What servers answer before the model is there."""

TAIL: Final = 1000  # bytes of a server's output that are told
MAX_ANSWER: Final = 10_000_000  # bytes
CLOSING: Final = guard.GRACE + 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Server:
    """How a server is started.

    command: its words, with {model} for the model's folder and {port} for a free port. url: where it then answers, up
    to and including the version, with {port} too (None: on this machine at that port). timeout: seconds until it must.
    """

    command: str
    url: str | None = None
    timeout: float = SERVE_TIMEOUT


@contextmanager
def served(server: Server, folder: Path, log: Path) -> Iterator[OpenAIBackend]:
    """What scores the model in `folder` through a server that lives as long as the context. log: gets its output.

    Raises BackendError where the server cannot be started, ends, or does not answer in time.
    """
    port, folder = _free_port(), folder.absolute()

    def filled(text: str) -> str:
        return text.replace("{model}", str(folder)).replace("{port}", str(port))

    words = [filled(word) for word in shlex.split(server.command)]
    url = filled(server.url or HERE).rstrip("/")
    with log.open("wb") as output, _running(words, output) as process:
        names = _wait(url, server.timeout, process, shlex.join(words), log)
        backend = OpenAIBackend(url, _name(names, folder))
        try:
            yield backend
        except BackendError as error:
            if process.poll() is None:
                raise
            raise _gone(shlex.join(words), log) from error


@contextmanager
def _running(words: list[str], output: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The command under a guard that ends its whole group when the context ends, or when this process dies."""
    guarded = [sys.executable, str(Path(guard.__file__)), *words]
    with subprocess.Popen(
        guarded, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
    ) as process:
        assert process.stdin is not None, "asked for"
        try:
            yield process
        finally:
            process.stdin.close()
            process.wait(CLOSING)


def _wait(url: str, timeout: float, process: subprocess.Popen[bytes], command: str, log: Path) -> list[str]:
    """The names of the models the server says it has, once it answers."""
    until = time.monotonic() + timeout
    while process.poll() is None:
        try:
            return _models(url)
        except urllib.error.HTTPError as error:
            if error.code not in LOADING:
                return []  # it is there, and has no list: transformers serve where nothing was ever downloaded
            last = f"{error.code} {error.reason}"
        except (OSError, ValueError, KeyError, TypeError) as error:
            last = f"{type(error).__name__}: {error}"
        if time.monotonic() > until:
            rule, cure = f"a server answers within {timeout:g} s", "see its output, or give a longer --serve-timeout"
            raise BackendError(Problem(rule, f"{last}; its output: {_tail(log)}", f"{url}/models", cure))
        time.sleep(PAUSE)
    raise _gone(command, log)


def _gone(command: str, log: Path) -> BackendError:
    rule, cure = "a server lives until its model is scored", "run the command by hand on a model's folder"
    return BackendError(Problem(rule, f"it ended; its output: {_tail(log)}", command, cure))


def _models(url: str) -> list[str]:
    with opened(f"{url}/models", 10.0) as response:
        answer = json.loads(response.read(MAX_ANSWER))
    return [str(model["id"]) for model in answer["data"]]


def _name(names: list[str], folder: Path) -> str:
    """The name requests use: the one there is, else the folder (servers that load what a request names list others)."""
    return names[0] if len(names) == 1 else str(folder)


def _tail(log: Path) -> str:
    text = log.read_bytes()[-TAIL:].decode("utf-8", "replace").strip()
    return " | ".join(line for line in text.splitlines() if line.strip()) or "none"


def _free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
