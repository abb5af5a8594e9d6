"""JSON sent to a server by POST, and its answer: tried again where that may help, bounded, told plainly where it fails.

It knows addresses, keys and bytes; it knows nothing of what is asked. A key goes to the named host only, not to where
that redirects, and into no message. A proxy that the environment names is used, but not for this machine: a proxy
elsewhere could not reach what it serves. Only the standard library is used.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any, Final, final

from mixmerge.errors import Problem
from mixmerge.evaluation.problems import BackendError, shorten

TRIES: Final = 4
LATE_TRIES: Final = 2  # where no answer came in time: the server may still be at work on the last one
PAUSE: Final = 0.5  # seconds before the second try; doubled before each further one
LONGEST_PAUSE: Final = 60.0  # seconds; a server may ask for more than ours, not for more than this
MAX_ANSWER: Final = 50_000_000  # bytes
MAX_REFUSAL: Final = 10_000  # bytes of a refusal that are read
REASON: Final = 300  # characters of it that are told
TRANSIENT: Final = (408, 409, 429, 500, 502, 503, 504)
BROKEN: Final = (OSError, ValueError, http.client.HTTPException, RecursionError)
"""What no answer, half of one, one that is not HTTP, and one that is no JSON or too deep raise."""


@final
class JsonServer:
    """url: where everything is posted. key: sent as a bearer token. timeout: seconds for one answer. pause: seconds
    before a failed request is tried again.
    """

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 300.0, pause: float = PAUSE) -> None:
        problem = address_problem(url, "a server", "give its key by itself, read from an environment variable")
        if problem is not None:
            raise BackendError(problem)
        self.url = url
        self._key, self._timeout, self._pause = key, timeout, pause

    def post(self, asked: Mapping[str, Any], *, cure: str = "") -> Any:
        """The server's answer to `asked`, both as JSON. Raises BackendError where it has none, after `TRIES` tries.

        cure: what helps where a server refuses just this.
        """
        body = json.dumps(asked).encode("utf-8")
        attempt = 1
        while True:
            try:
                return self._once(body)
            except BROKEN as error:
                if attempt >= (LATE_TRIES if _is_late(error) else TRIES) or not _transient(error):
                    told, way_out = self._told(error), _way_out(error, cure)
                    raise BackendError(Problem("the server answers", told, self.url, way_out)) from error
                pause = max(self._pause * 2 ** (attempt - 1), _wished(error))
            time.sleep(pause)
            attempt += 1

    def _once(self, body: bytes) -> Any:
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"}, method="POST")
        if self._key is not None:
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        until = time.monotonic() + self._timeout
        with opened(request, self._timeout) as response:
            return json.loads(_whole(response, until))

    def _told(self, error: Exception) -> str:
        """What happened; some servers quote the key they refuse."""
        if isinstance(error, urllib.error.HTTPError):
            text = f"{error.code} {error.reason}: {_reason(_body(error))}"
        elif _is_late(error):
            text = f"no answer within {self._timeout:g} s"
        else:
            text = f"{type(error).__name__}: {error}"
        return shorten(text.replace(self._key, "(the key)") if self._key else text, REASON)


def address_problem(url: str, whose: str, cure: str) -> Problem | None:
    """What is wrong with an address: it names a host, and holds no secret, since it is recorded and shown.

    whose: whom it leads to, in words. cure: what to do with a secret.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        complete = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half an IPv6 address, or a port that is none
        complete = False
    if not complete:
        rule, such = f"the address of {whose} is http:// or https:// and a host", "such as http://localhost:8000/v1"
        return Problem(rule, shorten(url.rpartition("@")[2].partition("?")[0]), "url", such)
    if "@" in parts.netloc or parts.query:
        return Problem(f"the address of {whose} holds no user, password or query", f"{parts.scheme}://...", "url", cure)
    return None


def opened(request: urllib.request.Request | str, timeout: float) -> Any:
    """The response to a request, as `urllib.request.urlopen` gives it, without a proxy where the host is this machine.

    timeout: seconds. Raises OSError.
    """
    return urllib.request.build_opener(_Proxies()).open(request, timeout=timeout)


def is_here(url: str) -> bool:
    """Whether an address is this machine's by its words alone: localhost, or a loopback or unspecified number."""
    host = (urllib.parse.urlsplit(url).hostname or "").removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return False
    return number.is_loopback or number.is_unspecified


@final
class _Proxies(urllib.request.ProxyHandler):
    """The environment's proxies, for every request on the way, redirects included, that leaves this machine."""

    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:
        return None if is_here(req.full_url) else super().proxy_open(req, proxy, type)


def _whole(response: Any, until: float) -> bytes:
    """All that is answered. Raises ValueError where that is too much, TimeoutError where it takes too long."""
    pieces, size = [], 0
    while piece := response.read1(1 << 16):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_ANSWER:
            raise ValueError(f"an answer of more than {MAX_ANSWER} bytes")
        if time.monotonic() > until:
            raise TimeoutError("it goes on and on")
    return b"".join(pieces)


def _is_late(error: Exception) -> bool:
    return isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError)


def _way_out(error: Exception, cure: str) -> str:
    """What the person can do. cure: for what was asked."""
    code = error.code if isinstance(error, urllib.error.HTTPError) else 0
    if code in (401, 403):
        return "check the key"
    if code == 404:
        return "check the address, which ends with the version as /v1, and the name of the model"
    if code == 429 or _is_late(error):
        return "send fewer requests at once, or give the server more time or room"
    if 400 <= code < 500:
        return cure or "ask as the server wants it: its own words tell what it does not take"
    running = "check address, model name and key, and that the server runs"
    return f"{cure}; {running}" if cure and code else running


def _reason(body: bytes) -> str:
    """The message in a refusal, wherever the server puts it; else all of it."""
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text)
        for _ in range(2):  # OpenAI: error.message; vLLM before 0.10: message; FastAPI: detail; TGI: error
            found = next(found[name] for name in ("error", "message", "detail") if found.get(name))
            if isinstance(found, str):
                return found
    except (ValueError, AttributeError, StopIteration, RecursionError):
        pass
    return text


def _body(error: urllib.error.HTTPError) -> bytes:
    """The beginning of what a refusal says; nothing where the server breaks off."""
    try:
        return error.read(MAX_REFUSAL)
    except (OSError, http.client.HTTPException):
        return b""


def _transient(error: Exception) -> bool:
    """Whether another try may succeed."""
    return error.code in TRANSIENT if isinstance(error, urllib.error.HTTPError) else True


def _wished(error: Exception) -> float:
    """Seconds the server wants us to wait; 0 where it says nothing, or a date."""
    wish = error.headers.get("Retry-After", "") if isinstance(error, urllib.error.HTTPError) else ""
    return min(float(wish), LONGEST_PAUSE) if wish.isascii() and wish.isdigit() else 0.0
