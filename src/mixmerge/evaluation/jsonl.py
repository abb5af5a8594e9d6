"""JSONL files of items: read whole and checked, or refused with everything that is wrong.

Files come from strangers: sizes are bounded, nothing is guessed, nothing unknown is skipped. It knows lines; it knows
no tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeGuard, final

from mixmerge import fileio
from mixmerge.checkpoint.strict_json import MalformedJsonError, parse_json
from mixmerge.errors import nearest
from mixmerge.evaluation.bounds import MAX_VALUES, values_in
from mixmerge.evaluation.problems import Problems, shorten
from mixmerge.evaluation.tasks import ChoiceItem, Item, TargetItem

MAX_BYTES: Final = 200_000_000
MAX_LINES: Final = 1_000_000
MAX_CHOICES: Final = 1_000

SHAPE: Final = 'write {"prompt": …, "choices": […], "answer": index} or {"prompt": …, "target": text}'


def read_items(path: Path, problems: Problems) -> tuple[Item, ...]:
    """The items of a file in their order, blank lines left out. What is wrong is noted with file and line."""
    before = len(problems)
    data = _content(path, problems)
    count = data.count(b"\n")
    if count > MAX_LINES:
        problems.add(f"a task has at most {MAX_LINES} lines", f"{count}", str(path), "use a part of it")
        return ()
    if values_in(data) > MAX_VALUES:
        found = f"up to {values_in(data)}"
        problems.add(f"a task file has at most {MAX_VALUES} values", found, str(path), "use a part of it")
        return ()
    lines = data.split(b"\n")
    items = [
        item
        for number, line in enumerate(lines, 1)
        if line.strip() and (item := _Line(f"{path}:{number}", problems).item(line)) is not None
    ]
    if not items and len(problems) == before:
        problems.add("a task has at least one item", "an empty file", str(path), SHAPE)
    return tuple(items)


def _content(path: Path, problems: Problems) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        cure = "check its permissions" if fileio.exists(path) else fileio.mistyped(path) or "check the path"
        problems.add("a task file can be read", error.strerror or str(error), str(path), cure)
        return b""
    if len(data) > MAX_BYTES:
        problems.add(f"a task file has at most {MAX_BYTES} bytes", "more", str(path), "use a part of it")
        return b""
    return data


@final
class _Line:
    """One line of a file. place: file:line."""

    def __init__(self, place: str, problems: Problems) -> None:
        self._place, self._problems = place, problems

    def item(self, line: bytes) -> Item | None:
        """The line's item; None where something is wrong, which is noted."""
        before = len(self._problems)
        try:
            value = parse_json(line)
        except MalformedJsonError as error:
            self._wrong("a line of a task is JSON", str(error), SHAPE)
            return None
        if not isinstance(value, dict):
            self._wrong("a line of a task is a JSON object", shorten(value), SHAPE)
            return None
        reader = self._choice if "choices" in value or "answer" in value else self._target
        self._keys(value, ("prompt", "choices", "answer") if reader == self._choice else ("prompt", "target"))
        item = reader(value)
        return item if len(self._problems) == before else None

    def _keys(self, value: Mapping[str, object], wanted: tuple[str, ...]) -> None:
        for key in value:
            if key not in wanted:
                self._wrong("an item has no other keys", shorten(key), f"{nearest(key, wanted)}, or remove the key")
        for key in wanted:
            if key not in value:
                self._wrong(f"an item has {key!r}", "it is missing", SHAPE)

    def _choice(self, value: Mapping[str, Any]) -> Item:
        self._text(value, "prompt")
        choices, answer = value.get("choices", ()), value.get("answer", 0)
        good = isinstance(choices, list) and all(_is_text(choice) and choice for choice in choices)
        if "choices" in value and not good:
            self._wrong("choices are a list of texts, none of them empty", shorten(choices), "write them as strings")
        elif "choices" in value and not 2 <= len(choices) <= MAX_CHOICES:
            self._wrong(f"an item has 2 to {MAX_CHOICES} choices", str(len(choices)), "add or remove choices")
        elif "choices" in value and len(set(choices)) < len(choices):
            self._wrong("choices differ from each other", shorten(choices), "remove the repeated choice")
        if not _is_number(answer) or (good and not 0 <= answer < max(1, len(choices))):
            self._wrong("answer is the index of a choice, counted from 0", shorten(answer), "write an integer")
            answer = 0
        return ChoiceItem(str(value.get("prompt")), tuple(choices) if good else (), answer)

    def _target(self, value: Mapping[str, Any]) -> Item:
        self._text(value, "prompt")
        target = value.get("target")
        if self._text(value, "target") and not self._is_line(str(target)):
            rule = "a target is one line, not empty and without spaces at its end: an answer is compared without them"
            self._wrong(rule, shorten(target), "shorten the target to the text that must come")
        return TargetItem(str(value.get("prompt")), str(target))

    def _text(self, value: Mapping[str, object], key: str) -> bool:
        good = _is_text(value.get(key, ""))
        if not good:
            self._wrong(f"{key} is a text", shorten(value[key]), "write it as a string of whole characters")
        return good and key in value

    def _is_line(self, target: str) -> bool:
        return bool(target) and "\n" not in target and target == target.rstrip()

    def _wrong(self, rule: str, value: str, cure: str) -> None:
        self._problems.add(rule, value, self._place, cure)


def _is_text(value: object) -> bool:
    """A string whose characters are whole: half of a surrogate pair cannot be written as UTF-8."""
    if not isinstance(value, str):
        return False
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
