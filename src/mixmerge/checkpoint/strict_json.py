"""JSON text from files nobody vouches for: read whole, or refused with one reason.

It knows JSON and its traps (a name given twice, nesting without end, numbers without end, half a character);
it knows nothing of what the text means.
"""

from __future__ import annotations

import json
from typing import NoReturn


class MalformedJsonError(ValueError):
    """The text is not JSON, or JSON that no honest program writes. The message is the bare reason."""


def parse_json(text: bytes, *, lenient: bool = False) -> object:
    """The value `text` states. Raises MalformedJsonError.

    Names given twice, names with half characters, NaN and infinities are refused; half characters in values are not.
    lenient: only text that is no JSON is refused, and the rest is taken as Python's json takes it (people write
    config.json by hand, and some models state infinities).
    """
    try:
        decoded = text.decode("utf-8")
        if lenient:
            return json.loads(decoded)
        value = json.loads(decoded, object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise MalformedJsonError(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise MalformedJsonError("nested too deeply") from error
    except MalformedJsonError:
        raise
    except ValueError as error:
        raise MalformedJsonError(str(error)[:200]) from error
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise MalformedJsonError(f"the name {name[:200]!r} is given twice")
        if not name.isascii():
            _whole_characters(name)
        found[name] = value
    return found


def _whole_characters(name: str) -> None:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedJsonError(f"the name {name[:200]!r} has a lone surrogate") from error


def _no_constant(constant: str) -> NoReturn:
    raise MalformedJsonError(f"{constant} is not a JSON number")
