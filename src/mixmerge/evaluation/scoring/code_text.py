"""The program in an answer: out of its fences, without the prose around it. It reads lines and compiles nothing.

Nothing of a model's text is parsed in this process: a text of a few kilobytes can exhaust Python's own parser.
"""

from __future__ import annotations

import re
from typing import Final

MAX_TEXT: Final = 100_000
"""Characters of an answer that are read."""

_FENCE: Final = "```"
# what begins a line of code: a statement's first word, a name that something is done with, or a mark
_STARTS: Final = re.compile(r"(?:def|class|import|async def)\s+\w|from\s+[\w.]+\s+import\b|@\w|[A-Za-z_]\w*\s*=[^=]")
_CODE: Final = re.compile(
    r"(?:async|assert|class|def|del|elif|else|except|finally|for|from|global|if|import|pass|raise|return|try|while|with)\b"
    r"|[A-Za-z_][\w.]*\s*(?:[=(\[:]|[-+*/%&|^@]=|//=|\*\*=|,\s*\w.*=)|[#@)\]}'\"(\[]"
)
_ENDS: Final = re.compile(r"if\s+__name__\s*==|#\s*example usage", re.IGNORECASE)
_QUOTES: Final = re.compile(r'"""|' + r"'''")


def blocks(answer: str) -> list[str]:
    """The fenced blocks of an answer, in order; a last one that is not closed runs to the end.

    >>> blocks("Here:\\n```python\\nx = 1\\n```\\nand\\n```\\ny = 2")
    ['x = 1', 'y = 2']
    """
    found: list[str] = []
    inside: list[str] | None = None
    for line in _plain_lines(answer).removesuffix("\n").split("\n"):  # a form feed ends no line of Python
        if not line.lstrip().startswith(_FENCE):
            if inside is not None:
                inside.append(line)
        elif inside is None:
            inside = []
        else:
            found.append("\n".join(inside))
            inside = None
    return [*found, "\n".join(inside)] if inside is not None else found


def program(answer: str, name: str) -> str:
    """The program of an answer that should define `name`.

    The first fenced block that defines it, else the first block, else the lines from the first that begins a
    definition, an import or an assignment to the last before prose. Of that, what comes before `if __name__ ==` and
    `# Example usage`.
    """
    answer = _plain_lines(answer)
    fenced = blocks(answer)
    if fenced:
        chosen = next((block for block in fenced if defines(block, name)), fenced[0])
        return _without_examples(chosen)
    lines = answer.split("\n")
    begin = next((number for number, line in enumerate(lines) if _STARTS.match(line)), 0)
    return _without_examples(_up_to_prose(lines[begin:]))


def completed(prompt: str, answer: str, name: str) -> str:
    """The program where an answer may be the whole function `name`, or only the body that goes on after `prompt`.

    prompt: imports, helpers, and the function up to its docstring. It stays before a whole function too, which defines
    the name once more. A body whose first line lost its indent (an answer is often stripped) gets it back.
    """
    answer = _plain_lines(answer)
    if any(defines(block, name) for block in blocks(answer)) or defines(answer, name):
        return f"{prompt.rstrip()}\n\n\n{program(answer, name)}\n"
    fenced = blocks(answer)
    body = (fenced[0] if fenced else answer).strip("\n").expandtabs(4)
    first, _, rest = body.partition("\n")
    if first and not first[0].isspace():
        deeper = [line for line in rest.split("\n") if line.strip()]
        flat = all(not line[0].isspace() for line in deeper[:1]) and not first.rstrip().endswith(":")
        body = _indented(body) if flat or _is_flat(first, deeper) else f"    {body}"
    return f"{prompt.rstrip()}\n{_without_examples(_up_to_prose(body.split(chr(10))))}\n"


def last_block(answer: str) -> str:
    """The program of an answer as LiveBench's scorer takes it: the lines between the last two that hold a fence.

    With one fence line or none the whole answer, but for a fence that is its last line, or single quotes around it all.
    """
    lines = answer.rstrip().split("\n")
    fences = [number for number, line in enumerate(lines) if _FENCE in line]
    if len(fences) >= 2:
        return "\n".join(lines[fences[-2] + 1 : fences[-1]])
    if len(answer) > 1 and answer[0] == answer[-1] == "`":
        return answer[1:-1]
    return "\n".join(lines[:-1]) if fences == [len(lines) - 1] else answer.rstrip()


def defines(text: str, name: str) -> bool:
    """Whether a line of the text begins the function or class `name`, or gives the name a value."""
    begins = rf"^(?:(?:async\s+)?def|class)\s+{re.escape(name)}\b|^{re.escape(name)}\s*="
    return re.search(begins, text, re.MULTILINE) is not None


def _is_flat(first: str, deeper: list[str]) -> bool:
    """Whether a body was written without the function's own indent: a block's first line is 4 deeper, not 8."""
    return first.rstrip().endswith(":") and bool(deeper) and len(deeper[0]) - len(deeper[0].lstrip()) <= 4


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line.strip() else line for line in text.split("\n"))


def _up_to_prose(lines: list[str]) -> str:
    """The lines before the first that stands at the margin, is no code, and lies in no long string."""
    kept: list[str] = []
    quoted = ""
    for line in lines:
        if not quoted and line[:1].strip() and not _CODE.match(line):
            break
        kept.append(line)
        for mark in _QUOTES.findall(line):
            quoted = "" if quoted == mark else quoted or mark
    return "\n".join(kept).rstrip()


def _without_examples(text: str) -> str:
    lines = text.split("\n")
    end = next((number for number, line in enumerate(lines) if _ENDS.match(line)), len(lines))
    return "\n".join(lines[:end]).rstrip()


def _plain_lines(answer: str) -> str:
    return answer[:MAX_TEXT].replace("\r\n", "\n").replace("\r", "\n")
