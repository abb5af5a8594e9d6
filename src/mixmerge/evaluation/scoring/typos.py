"""LiveBench's verdict on a corrected text: right where the expected text stands in the answer, character for character.

The rule is that of LiveBench at commit b0fb577 (livebench/process_results/writing/typos/utils.py, behind the removal
of thoughts in gen_ground_truth_judgment.py), written anew. Its first release looked at the last line only, and so does
the code of the M³ paper. It knows texts only.
"""

from __future__ import annotations

import re
from typing import Final

_THOUGHTS: Final = re.compile(r"<think>.*?</think>", re.DOTALL)
_SOLUTION: Final = re.compile(r"<solution>([^\n]*?)</solution>")
_BAR: Final = " --- "


def is_corrected(expected: str, answer: str) -> bool:
    """Whether the answer holds the expected text, which is one line.

    Thoughts are left out. Of texts in <solution> tags on one line the last counts; without one all of the answer does,
    or what a line holds between its last two separating bars. Empty lines go, the others are joined by spaces.
    """
    text = _without_thoughts(answer)
    marked = [found for line in text.split("\n") for found in _SOLUTION.findall(_closed(line, "</solution>"))]
    found = marked[-1] if marked else _between_bars(text.replace("<solution>", "").replace("</solution>", ""))
    return expected in " ".join(line for line in found.strip().split("\n") if line)


def _without_thoughts(answer: str) -> str:
    inside = _closed(answer, "</think>")
    return _THOUGHTS.sub("", inside) + answer[len(inside) :]


def _closed(text: str, mark: str) -> str:
    """The text up to its last closing mark: behind it nothing is closed, and each opening would be read to the end."""
    end = text.rfind(mark)
    return text[: end + len(mark)] if end >= 0 else ""


def _between_bars(text: str) -> str:
    """The text between the last two bars of the first line that has two; the whole text where no line has."""
    for line in text.split("\n"):
        end = line.rfind(_BAR)
        start = line.rfind(_BAR, 0, max(0, end))
        if start >= 0:
            return line[start + len(_BAR) : end]
    return text
