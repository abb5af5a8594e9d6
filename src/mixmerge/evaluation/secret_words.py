"""Secrets in what a person types: commands that start servers, addresses of databases, names of keys.

What is typed is recorded, told and passed on, so a secret in it is refused before anything is written; programs that
need one take it from the environment. It knows words by their names and shapes; a secret that looks like any other word
passes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_LAST: Final = frozenset(
    ("password", "passwd", "passphrase", "secret", "token", "key", "apikey", "authorization", "credentials")
)
"""What names of secrets end with: --hf-token, OPENAI_API_KEY, x-api-key."""

_OF_TEXT: Final = frozenset(
    ("pad", "eos", "bos", "unk", "sep", "cls", "mask", "stop", "image", "video", "audio", "think", "end", "start")
)
"""Tokens of a vocabulary: --pad-token."""

_HARMLESS: Final = ("none", "null", "true", "false")

_VALUE: Final = r"""(?=["']?(?P<value>(?:bearer\s+|basic\s+)?[^\s"',;]{1,200}))"""
_OPTION: Final = re.compile(rf"""(?<![\w/-])(?P<name>--?[a-z][\w.-]*)["']*(?:\s*=\s*|\s+){_VALUE}""", re.IGNORECASE)
_ASSIGNED: Final = re.compile(rf"""(?<![\w/.${{-])(?P<name>[a-z_][\w.-]*)["']*\s*[:=]\s*{_VALUE}""", re.IGNORECASE)
"""NAME=value, Name: value, "name": "value". That a value is only looked at lets it be the next name."""

_ADDRESS: Final = re.compile(
    r"\b(?:(https?://)[^/\s@\"']{1,300}@|([a-z][a-z0-9+.-]{0,30}://)[^/\s@:\"']{0,300}:[^\s@\"']{1,300}@)",
    re.IGNORECASE,
)
"""A user or password of the web; a password anywhere."""

_BEARER: Final = re.compile(r"\bbearer\s+[^\s$\"'{]{8}", re.IGNORECASE)
_SHAPES: Final = re.compile(
    r"\b(?:(sk-)(?=[\w-]{0,200}\d)[\w-]{20}|(hf_)[A-Za-z0-9]{30}|(gh[pousr]_)[A-Za-z0-9]{30}|(github_pat_)\w{20}"
    r"|(glpat-)[\w-]{20}|(xox[abprs]-)[\w-]{10}|(AKIA)[0-9A-Z]{16}\b|(AIza)[\w-]{30}|(gsk_)[A-Za-z0-9]{30}"
    r"|(nvapi-)[\w-]{20}|(eyJ)[\w-]{8,2000}\.[\w-]{8})"
)
"""Beginnings by which their makers mark keys: OpenAI, Hugging Face, GitHub, GitLab, Slack, AWS, Google, Groq, NVIDIA,
and JSON web tokens."""

_SHORTEST: Final = 6
"""Characters of a variable's value that is looked for in texts."""


def secret_in(text: str) -> str | None:
    """What in a text looks like a secret, named without it, as `--api-key ...`; None where nothing does.

    A name with a secret's ending beside a value, a user or password in an address, or a word of a known shape. Values
    that only say where a secret is are none: `$NAME`, `{port}`, paths.
    """
    if address := _ADDRESS.search(text):
        return f"{address[1] or address[2]}...@"
    for pattern in (_OPTION, _ASSIGNED):
        for found in pattern.finditer(text):
            if is_secret_name(found["name"]) and _is_value(found["value"]):
                return f"{found['name']} ..."
    if _BEARER.search(text):
        return "Bearer ..."
    shape = _SHAPES.search(text)
    return None if shape is None else f"a word like {next(filter(None, shape.groups()))}..."


def is_secret_name(name: str) -> bool:
    """Whether an option, a variable, a header or a key of JSON is named as secrets are.

    >>> [is_secret_name(name) for name in ("--hf-token", "OPENAI_API_KEY", "--pad-token", "--max-tokens")]
    [True, True, False, False]
    """
    parts = [part for part in re.split(r"[^a-z0-9]+", name.lower()) if part]
    return bool(parts) and parts[-1] in _LAST and not (parts[-1] == "token" and set(parts[:-1]) & _OF_TEXT)


def without_secrets(text: str, environment: Mapping[str, str]) -> str:
    """The text with `($NAME)` where it holds the value of a variable that is named as secrets are."""
    held = [(value.strip(), name) for name, value in environment.items() if is_secret_name(name)]
    for value, name in sorted(held, key=lambda pair: -len(pair[0])):
        if len(value) >= _SHORTEST:
            text = text.replace(value, f"(${name})")
    return text


def _is_value(value: str) -> bool:
    points = value.startswith(("$", "{", "-", "/", "./", "../", "~/", "<", "`"))
    return not points and value.lower() not in _HARMLESS
