"""What tests of whole backends do not show: waiting as long as a server asks, and keys that stay at home."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mixmerge.evaluation import BackendError
from mixmerge.evaluation import http as room
from mixmerge.evaluation.http import JsonServer, is_here
from support.answering import Fake, answering

Steps = list[tuple[int, dict[str, str]]]


@pytest.fixture
def scripted() -> Iterator[tuple[Fake, Steps]]:
    """A server, and the statuses and headers it will answer with; 200 once they are used up."""
    steps: Steps = []

    def reply(_: Any) -> tuple[int, Any]:
        status, fake.headers = steps.pop(0) if steps else (200, {})
        return status, {}

    with answering(reply) as fake:
        yield fake, steps


def test_waits_as_long_as_the_server_asks_within_a_minute(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, steps = scripted
    waited: list[float] = []
    monkeypatch.setattr(room.time, "sleep", waited.append)
    steps += [(429, {"Retry-After": "7"}), (503, {"Retry-After": "86400"}), (429, {"Retry-After": "Mon, 1 Jan"})]
    assert JsonServer(server.url, pause=0.25).post({}) == {}
    assert waited == [7.0, 60.0, 1.0]


def test_a_key_is_not_carried_where_a_server_redirects(scripted: Any) -> None:
    server, steps = scripted
    steps += [(302, {"Location": f"{server.place}/elsewhere"})]
    JsonServer(server.url, key="secret").post({})
    assert server.asked == [("/v1", "Bearer secret", {}), ("/elsewhere", None, None)]


def test_answers_are_bounded(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_ANSWER", 1)
    with pytest.raises(BackendError, match="more than 1 bytes"):
        JsonServer(scripted[0].url, pause=0.0).post({})


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n10\r\nabc"
BROKEN = {
    "not HTTP": b"hello\r\n\r\n",
    "breaks off": b"HTTP/1.1 200 OK\r\n" + CHUNKED,
    "breaks off a refusal": b"HTTP/1.1 400 No\r\n" + CHUNKED,
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200,
    "too deep": b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
    "nothing": b"",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_servers_that_do_not_speak_http_are_told_plainly(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:

        def answers() -> None:
            while True:
                made, _ = listening.accept()
                with made:
                    asked = made.recv(1 << 16)
                    if asked == b"end":
                        return
                    made.sendall(answer)

        serving = pool.submit(answers)
        place = listening.getsockname()
        with pytest.raises(BackendError, match="the server answers"):
            JsonServer(f"http://127.0.0.1:{place[1]}/v1", pause=0.0).post({})
        with socket.create_connection(place) as last:
            last.sendall(b"end")
        serving.result()


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:8000/v1", True),
        ("http://LOCALHOST./v1", True),
        ("http://gpu.localhost/v1", True),
        ("http://127.0.0.1:80/v1", True),
        ("https://127.9.9.9/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://0.0.0.0:8000/v1", True),
        ("http://10.0.0.7/v1", False),
        ("http://127.0.0.1.example/v1", False),
        ("http://notlocalhost/v1", False),
        ("http://someone:127.0.0.1@example/v1", False),
        ("http://[fe80::1]/v1", False),
    ],
)
def test_what_is_this_machine(url: str, here: bool) -> None:
    assert is_here(url) is here


def test_a_proxy_is_for_others_only(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine is asked directly, also where somebody else redirects to it; the rest goes by the proxy."""
    server, steps = scripted
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with answering(lambda _: (200, {"by": "proxy"})) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.place)
        assert JsonServer(server.url).post({}) == {}
        assert JsonServer(server.url.replace("127.0.0.1", "localhost")).post({}) == {}
        assert proxy.asked == []
        assert JsonServer("http://judge.example/v1").post({}) == {"by": "proxy"}
        steps += [(302, {"Location": "http://judge.example/v2"})]
        assert JsonServer(server.url).post({}) == {"by": "proxy"}
        proxy.headers = {"Location": f"{server.place}/moved"}
        proxy.reply = lambda _: (302, {})
        assert JsonServer("http://judge.example/v1").post({}) == {}
    assert [path for path, _, _ in proxy.asked] == [f"http://judge.example/v{n}" for n in (1, 2, 1)]
    assert server.asked[-1][0] == "/moved"
