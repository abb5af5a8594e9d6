"""A server on 127.0.0.1 that answers POST (and GET) as a test wants it to, in a thread of the test's process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[Any], tuple[int, Any]]
"""From the JSON that was asked (None where there was no body) to a status, and JSON or bytes."""


@dataclass
class Fake:
    """The server's side: how it replies, and what it was asked: path, key and JSON of each request.

    url: with the version. headers: sent with every answer.
    """

    reply: Reply
    url: str = ""
    asked: list[tuple[str, str | None, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The address without the version."""
        return self.url.removesuffix("/v1")


@contextmanager
def answering(reply: Reply) -> Iterator[Fake]:
    """A server that lives as long as the context."""
    fake = Fake(reply)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = json.loads(body) if body else None
            fake.asked.append((self.path, self.headers.get("Authorization"), asked))
            status, value = fake.reply(asked)
            self._send(status, value if isinstance(value, bytes) else json.dumps(value).encode(), fake.headers)

        def do_GET(self) -> None:
            self.do_POST()

        def _send(self, status: int, data: bytes, more: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, text in {"Content-Type": "application/json", "Content-Length": str(len(data)), **more}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.url = f"http://127.0.0.1:{http.server_port}/v1"
    try:
        yield fake
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
