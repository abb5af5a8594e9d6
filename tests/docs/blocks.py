"""The code blocks of the docs, and how they are run. As a program: fill in what the commands print now.

    python tests/docs/blocks.py

Blocks of a page run in order in one folder that holds the models of the zoo: `console` blocks (lines after `$ ` are
commands, what follows is their output, times and rates aside), `python` blocks, and `yaml` blocks. A word after `yaml`
is the file they are written to; `fragment` makes it a part of a recipe; without a word it is a whole recipe.
"""

from __future__ import annotations

import contextlib
import filecmp
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ZOO = ROOT / "src" / "mixmerge" / "zoo"
PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
PLACE = "/models"  # stands for the folder the blocks run in
LANGUAGES = ("console", "python", "yaml", "json", "text", "sh", "")
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_VOLATILE = (
    (re.compile(r"^time      .*$", re.MULTILINE), "time      (varies)"),
    (re.compile(r"^memory    .* at the peak$", re.MULTILINE), "memory    (varies)"),
)
_RECIPE = {
    "merge_method": "merge_method: ties",
    "base_model": "base_model: base",
    "models": "models: [{model: adder}, {model: sorter}]",
    "mixup": "mixup: {alpha: 0.5}",
}


@dataclass(frozen=True)
class Block:
    """One fenced block. start: of its body, in the page's text."""

    language: str
    word: str
    body: str
    start: int


@dataclass
class Session:
    """The state that blocks of one page share."""

    folder: Path
    code: int = 0
    names: dict[str, Any] = field(default_factory=dict)

    def run(self, words: list[str]) -> str:
        """The output of one command line."""
        known: dict[str, Callable[[list[str]], str]] = {"mixmerge": self._mixmerge, "cat": _cat, "cmp": _cmp}
        if words == ["echo", "$?"]:
            return f"{self.code}\n"
        return known[words[0]](words[1:])

    def _mixmerge(self, words: list[str]) -> str:
        from mixmerge.cli import run

        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            self.code = run(words)
        return printed.getvalue().replace(str(self.folder), PLACE)


def _cat(words: list[str]) -> str:
    return "".join(Path(word).read_text("utf-8") for word in words)


def _cmp(words: list[str]) -> str:
    return "" if filecmp.cmp(*words, shallow=False) else "differ\n"


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page."""
    found = []
    for match in _FENCE.finditer(text):
        language, _, word = match["info"].strip().partition(" ")
        found.append(Block(language, word, match["body"], match.start("body")))
    return found


def commands(body: str) -> list[tuple[str, str]]:
    """(command as written, output as written) of a console block; `\\` at a line's end goes on with the next."""
    pairs = []
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        size = next(number for number, line in enumerate(lines, 1) if not line.endswith("\\\n"))
        pairs.append(("".join(lines[:size]), "".join(lines[size:])))
    return pairs


def steady(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, stand_in in _VOLATILE:
        text = pattern.sub(stand_in, text)
    return text.rstrip()


def fragment(body: str) -> str:
    """A whole recipe around a part of one."""
    lines = [line for key, line in _RECIPE.items() if not re.search(rf"^{key}:", body, re.MULTILINE)]
    if re.search("^slices:", body, re.MULTILINE):
        lines.remove(_RECIPE["models"])
    if "weight:" in body:
        lines.remove(_RECIPE["mixup"])
    return "\n".join([*lines, body])


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder with the zoo's models, made the working directory."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as made:
        folder = os.path.realpath(made)
        for model in (path for path in ZOO.iterdir() if path.is_dir()):
            shutil.copytree(model, Path(folder) / model.name)
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def refreshed(text: str) -> str:
    """The page with the output of its console blocks as it is now."""
    with workplace() as folder:
        session = Session(folder)
        for block in reversed(list(_played(text, session))):
            text = text[: block.start] + block.body + text[block.start + len(block.old) :]
    return text


@dataclass(frozen=True)
class _Played:
    start: int
    old: str
    body: str


def _played(text: str, session: Session) -> Iterator[_Played]:
    for block in blocks(text):
        if block.language == "console":
            body = ""
            for command, old in commands(block.body):
                new = session.run(shlex.split(command.replace("\\\n", " ")))
                body += f"$ {command}{old if steady(old) == steady(new) else new}"
            yield _Played(block.start, block.body, body)
        else:
            play(block, session)


def play(block: Block, session: Session) -> None:
    """Run a python block, or write a yaml block's file."""
    if block.language == "python":
        exec(compile(block.body, "docs", "exec"), session.names)
    elif block.language == "yaml" and block.word not in ("", "fragment"):
        Path(block.word).write_text(block.body)


if __name__ == "__main__":
    for page in sys.argv[1:] or PAGES:
        path = ROOT / page
        path.write_text(refreshed(path.read_text("utf-8")), "utf-8")
