"""What happens in a program's own process, inside the walls: load it, run it, test it. It knows no walls and no time.

The program shares this process with its tests, so a program written against this very file could forge its verdict.
What it cannot do is pass by leaving (the verdict is a word told by the supervisor only after the program is loaded, and
said only after the last test), by printing, or by changing the names its tests use before they run: they get built-in
names of their own, and the modules they import are put back as they were. Answers of `script` and `call` are compared
outside and cannot be forged at all.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Sequence
from types import CodeType, ModuleType

from . import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

NAME = "program"
_SHOWN = 300  # characters of an error's text

# what programs of contests take for granted; the published scorer gives them the names of these modules, in this order
_TAKEN_FOR_GRANTED = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "sys", "json", "builtins", "typing"),
)
_RECURSION = 50_000
_MONITORS = 6  # tools that Python 3.12 and later let watch at once


def run(act: tuple[str, str, str], source: str, report: int, gate: int) -> NoReturn:
    """Run one act and end this process. report: where the verdict goes. gate: where the supervisor's word is read."""
    kind, first, second = act
    _make_steady(source)
    if kind == "script":
        _script(source, granted=bool(second))
    elif kind == "call":
        _call(source, first, second, report)
    else:
        _checks(source, first, second.split(), report, gate)
    os._exit(0)


def _checks(source: str, tests: str, keep: list[str], report: int, gate: int) -> None:
    say, ask, leave, execute = frames.write_all, os.read, os._exit, exec  # as they are before the program runs
    judge = compile(tests, "tests", "exec", dont_inherit=True)
    restore = _remember(tests, keep)
    module = _module(NAME)
    try:
        compiled = compile(source, NAME, "exec", dont_inherit=True)
        exec(compiled, module.__dict__)
    except BaseException as error:
        say(report, _failure("before its tests: ", error))
        leave(1)
    say(report, b"loaded\n")
    word = ask(gate, 64)
    try:
        execute(judge, restore(module.__dict__))
    except BaseException as error:
        say(report, _failure("", error))
        leave(1)
    say(report, b"passed " + word)
    leave(0)


def _script(source: str, *, granted: bool) -> None:
    """Run it as `python program.py` would; its end status and output are its answer."""
    module = _module("__main__")
    status = 0
    try:
        _grant(module.__dict__, granted)
        exec(compile(source, NAME, "exec", dont_inherit=True), module.__dict__)
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException as error:
        sys.stdout.flush()
        frames.write_all(2, b"\n" + _failure("", error))
        status = 1
    try:
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        sys.stdout.flush()
    finally:
        os._exit(status & 0xFF)


def _call(source: str, name: str, arguments: str, report: int) -> None:
    """Call function `name`, of `Solution` where there is such a class, with one JSON value a line."""
    import json

    say, leave = frames.write_all, os._exit
    module = _module(NAME)
    try:
        _grant(module.__dict__, True)
        exec(compile(source, NAME, "exec", dont_inherit=True), module.__dict__)
        holder = module.Solution() if "Solution" in module.__dict__ else module
        result = getattr(holder, name)(*(json.loads(line) for line in arguments.split("\n")))
        told = json.dumps(_plain(result))
    except BaseException as error:
        say(report, _failure("", error))
        leave(1)
    say(report, b"returned " + told.encode("ascii"))
    leave(0)


def _plain(value: Any) -> Any:
    """A value JSON can hold; what Python tells apart stays apart: {"tuple": ...}, {"dict": ...}, {"other": ...}."""
    import numbers

    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, tuple):
        return {"tuple": [_plain(part) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[_plain(key), _plain(part)] for key, part in value.items()]}
    return {"other": type(value).__name__}


def _remember(tests: str, keep: Sequence[str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A function that gives the names tests run with: those of the program, with built-in names and modules as now.

    It also ends what watches Python run: a trace can jump over lines of a test.
    """
    words = dict(builtins.__dict__)
    before = {module: dict(module.__dict__) for module in (*_imported(tests), sys, os)}
    modules, known = sys.modules, dict(sys.modules)
    unwatch = _unwatch()

    def restore(made: dict[str, Any]) -> dict[str, Any]:
        unwatch()
        modules.update(known)
        for module, names in before.items():
            module.__dict__.update(names)
            for added in [name for name in module.__dict__ if name not in names]:
                del module.__dict__[added]
        names = {name: value for name, value in made.items() if name not in words or name in keep}
        return names | {"__builtins__": words, "__name__": NAME}

    return restore


def _unwatch() -> Callable[[], None]:
    """A function that ends every trace, profile and monitor, by Python's own means as they are now."""
    trace, profile, monitors = sys.settrace, sys.setprofile, _monitors()

    def unwatch() -> None:
        trace(None)
        profile(None)
        for monitor in monitors:
            monitor()

    return unwatch


def _monitors() -> list[Callable[[], object]]:
    """Functions that end what each tool of `sys.monitoring` watches; none before Python 3.12."""
    if sys.version_info < (3, 12):
        return []
    used, watched = sys.monitoring.get_tool, sys.monitoring.set_events

    def silence(tool: int) -> Callable[[], object]:
        return lambda: used(tool) and watched(tool, 0)

    return [silence(tool) for tool in range(_MONITORS)]


def _imported(tests: str) -> list[ModuleType]:
    """The modules that the tests import anywhere, as far as there are any of their names."""
    if "import" not in tests:
        return []
    import ast
    import importlib

    names: list[str] = []
    try:
        nodes = list(ast.walk(ast.parse(tests)))
    except (SyntaxError, ValueError):
        return []
    for node in nodes:
        names += [name.name for name in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    found = []
    for name in dict.fromkeys(names):
        try:
            found.append(importlib.import_module(name))
        except (ImportError, ValueError):
            continue
    return found


def _grant(names: dict[str, Any], granted: bool) -> None:
    if granted:
        lines = [f"from {name} import *\n" for name in _TAKEN_FOR_GRANTED]
        lines += [f"import {name}\n" for name in _TAKEN_FOR_GRANTED[:-2]]
        exec("".join(lines), names)
        sys.setrecursionlimit(_RECURSION)


def _module(name: str) -> ModuleType:
    """An empty module that the import system knows, as dataclasses and pickles expect."""
    module = ModuleType(name)
    sys.modules[name] = module
    return module


def _make_steady(source: str) -> None:
    """The same draws each time, and the names that the site module would have added."""
    from _sitebuiltins import Quitter

    for name in ("exit", "quit"):
        setattr(builtins, name, Quitter(name, "Ctrl-D"))
    if "random" in source:
        import random

        random.seed(0)


def _failure(when: str, error: BaseException) -> bytes:
    """One line on what went wrong, safe against errors whose own text goes wrong."""
    kind = "memory" if isinstance(error, MemoryError) else "failed"
    try:
        text = str(error)[:_SHOWN]
    except BaseException:
        text = "(its text cannot be had)"
    line = _line(error)
    shown = f"{when}{type(error).__name__}{': ' if text else ''}{text}{f' (line {line} of {NAME})' if line else ''}"
    return f"{kind} {' '.join(shown.split())}\n".encode("utf-8", "backslashreplace")


def _line(error: BaseException) -> int:
    """The last line of the program that the error passed through; 0 for none."""
    line = 0
    trace = error.__traceback__
    while trace is not None:
        code: CodeType = trace.tb_frame.f_code
        line = trace.tb_lineno if code.co_filename == NAME else line
        trace = trace.tb_next
    return line
