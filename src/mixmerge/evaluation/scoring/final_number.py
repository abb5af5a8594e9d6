"""The number an answer to a word problem ends with, and whether two numbers are equal.

Where the answer marks its result (`#### 18`, `The answer is 18`, `\\boxed{18}`) the last mark counts, else the last
number of the text. Numbers are exact fractions: `18`, `18.00`, `$1,800`, `-3`, `.5`, `3/4`, `50%` (read as 50: units,
currencies and per cent signs are left out). It knows texts only.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from mixmerge.evaluation.scoring.boxed import last_boxed

MAX_TEXT: Final = 50_000  # characters of an answer that are read, from its end
MAX_MARKS: Final = 20  # the last ones
MAX_RESULT: Final = 500  # characters behind a mark
MAX_DIGITS: Final = 60  # of a number; more are no result of a word problem

_NUMBER: Final = re.compile(
    r"""(?P<sign>[-\u2212])?\s?[$€£]?(?P<minus>[-\u2212])?
        (?=\d|(?<![A-Za-z\d])\.\d)
        (?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+)?
        (?P<part>\.\d+)?
        (?:\s?/\s?(?P<below>\d+)(?!\d|\.\d))?""",
    re.VERBOSE | re.ASCII,
)
_MARK: Final = re.compile(
    r"""\#\#\#\#(?=\s*[-\u2212$€£]{0,2}\s?\.?\d)(?!\s*\d+[.)]\s+[A-Za-z*])  # a result, not a numbered heading
        |\banswer\s*(?:is|:|=)""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_FRACTION: Final = re.compile(r"([-\u2212]?)\\[dt]?frac\{(\d+)\}\{(\d+)\}", re.ASCII)
_SENTENCE: Final = re.compile(r"\n|[.!?](?=\s|$)")


def final_number(text: str) -> Fraction | None:
    """The result an answer states; None where it holds no number."""
    text = _plain(text[-MAX_TEXT:])
    boxed = last_boxed(text)
    if boxed is not None and (found := _numbers(boxed)):
        return found[-1]
    for mark in reversed(list(_MARK.finditer(text))[-MAX_MARKS:]):
        if (value := _marked(text[mark.end() : mark.end() + MAX_RESULT])) is not None:
            return value
    found = _numbers(text)
    return found[-1] if found else None


def stated_number(text: str) -> Fraction | None:
    """The number behind the last `####` of a reference solution; None where there is none or it is no number."""
    _, mark, rest = text.rpartition("####")
    found = _numbers(rest)
    return found[0] if mark and len(found) == 1 else None


def _marked(rest: str) -> Fraction | None:
    """The number behind a mark: the first one, or what the sentence says it equals (`the answer is 3 + 5 = 8`)."""
    rest = rest.lstrip(" :\n*")
    sentence = _SENTENCE.split(rest, maxsplit=1)[0]
    found = _numbers(sentence.rpartition("=")[2]) or _numbers(rest)
    return found[0] if found else None


def _plain(latex: str) -> str:
    """Numbers without the marks LaTeX needs inside them; its fractions with a slash."""
    plain = latex.replace("\\$", "$").replace("{,}", ",").replace("\\,", "").replace("\\!", "")
    return _FRACTION.sub(r" \1\2/\3", plain)


def _numbers(text: str) -> list[Fraction]:
    return [value for match in _NUMBER.finditer(text) if (value := _value(match, text)) is not None]


def _value(match: re.Match[str], text: str) -> Fraction | None:
    whole, part, below = match["whole"], match["part"], match["below"]
    if whole is None and part is None:
        return None
    digits = (whole or "").replace(",", "") + (part or "")
    if len(digits) > MAX_DIGITS or len(below or "") > MAX_DIGITS:
        return None
    value = Fraction(digits if whole else "0" + digits)
    if below is not None and int(below) != 0:
        value /= int(below)
    return -value if match["minus"] or (match["sign"] and _is_sign(match, text)) else value


def _is_sign(match: re.Match[str], text: str) -> bool:
    """Whether a minus before a number is its sign: behind a number, letter or bracket it takes away, or is a dash."""
    start = match.start()
    before = text[max(0, start - 20) : start].rstrip(" ")
    gap = text[match.end("sign") :][:1].isspace()
    if not before or before[-1] == "\n":
        return not gap  # with a gap it is the dash of a list
    if before[-1] in "=(:":
        return True
    return text[start - 1] == " " and not gap and not before[-1].isdigit()
