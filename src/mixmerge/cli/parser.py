"""From a declared function to a command that click parses: every word that is wrong is told at once, in our own blocks.

click splits the words; what they mean (numbers, what must be said) is read here. A parameter of the function is one
option or argument (see `options`); one whose type is a dataclass stands for one option a field. Where some are wrong,
a command may look at what the others say: what is wrong with that is told in the same answer.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource

from mixmerge.cli.failures import COMMAND_LINE, UsageError
from mixmerge.cli.of_mergekit import instead_of
from mixmerge.cli.options import Declared
from mixmerge.errors import Problem

HELP: Final = ("-h", "--help")

Also = Callable[[Mapping[str, Any]], Iterable[Problem]]
"""What is wrong with the values of the words that could be read, by name, groups spread out. Does nothing else."""

_NOTHING: Final = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class _Parameter:
    """One option or argument. kind: of one value. default: `_NOTHING` where something must be said."""

    name: str
    kind: type
    many: bool
    declared: Declared
    default: Any

    @property
    def shown(self) -> str:
        """What people know it by."""
        names = self.declared.names
        return max(names, key=len).partition("/")[0] if names else self.declared.metavar

    def for_click(self) -> click.Parameter:
        """What click needs to find its words. Values stay text, and nothing is required yet."""
        declared = self.declared
        if not declared.names:
            return click.Argument([self.name], nargs=-1 if self.many else 1, required=False, metavar=declared.metavar)
        if self.kind is bool:
            return click.Option([*declared.names, self.name], is_flag=True, default=False, help=declared.help)
        return click.Option(
            [*declared.names, self.name], multiple=self.many, type=click.STRING, help=self._help(),
            metavar=declared.metavar or self.kind.__name__.upper(),
        )  # fmt: skip

    def _help(self) -> str:
        default = self.declared.default or ("" if self.default in (None, _NOTHING) else str(self.default))
        note = "required" if self.default is _NOTHING else f"default: {default}" if default else ""
        return self.declared.help + (f"  [{note}]" if note else "")

    def value(self, said: Any, problems: list[Problem]) -> Any:
        """The value of what was said; what is wrong with it goes to the problems."""
        if not self.many:
            return said if self.kind is bool else self._one(said, problems)
        return [self._one(one, problems) for one in said]

    def _one(self, text: str, problems: list[Problem]) -> Any:
        if self.declared.read is not None:
            try:
                return self.declared.read(text, self.shown)
            except UsageError as error:
                problems += error.problems
                return None
        if self.kind is not str:
            return self._number(text, problems)
        if not text:
            cure = f"write it as {self.shown} {self.declared.metavar}" if self.declared.names else "say which"
            problems.append(Problem(f"{self.shown} says something", "an empty word", COMMAND_LINE, cure))
        return text

    def _number(self, text: str, problems: list[Problem]) -> Any:
        low = self.declared.low
        try:
            number = self.kind(text)
        except ValueError:
            number = math.nan
        if math.isfinite(number) and (low is None or number >= low):
            return number
        what = "a whole number" if self.kind is int else "a number"
        rule = f"{self.shown} is {what}" + (f", at least {low:g}" if low is not None else "")
        example = 1 if low is None else max(low, 1)
        problems.append(Problem(rule, text, self.shown, f"write it as {self.shown} {example:g}"))
        return None


class Command(click.Command):
    """A function as a command. Its docstring is the help; lines of it that are indented stay as they are."""

    def __init__(self, name: str, function: Callable[..., None], also: Also | None = None) -> None:
        self._function, self._also = function, also
        self._parts = tuple(_parts(function))
        parameters = [one.for_click() for _, _, inner in self._parts for one in inner]
        settings = {"help_option_names": list(HELP), "allow_extra_args": True}
        super().__init__(name, params=parameters, help=_verbatim(function.__doc__), context_settings=settings)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """click's own, after every unknown option was told."""
        if problems := list(self._strangers(ctx, args)):
            raise UsageError(problems)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click's parser does not know whose words it reads
            raise

    def invoke(self, ctx: click.Context) -> None:
        """Run the function with what was said. Raises UsageError with all that is wrong with the words."""
        self._function(**self.read(ctx))

    def read(self, ctx: click.Context) -> dict[str, Any]:
        """The function's arguments. Raises UsageError."""
        problems: list[Problem] = []
        values: dict[str, Any] = {}
        right: dict[str, Any] = {}
        for name, group, inner in self._parts:
            wrong = len(problems)
            read = {one.name: value for one in inner for value in _read(one, ctx, problems)}
            right |= read
            if len(problems) == wrong:
                values |= read if group is None else {name: group(**read)}
        if ctx.args:
            known = " ".join(self._words())
            rule = f"{ctx.command_path} takes no " + (f"more words than: {known}" if known else "words")
            problems.append(Problem(rule, " ".join(ctx.args), COMMAND_LINE, f"{ctx.command_path} --help explains them"))
        if problems:
            raise UsageError([*problems, *(self._also(right) if self._also is not None else ())])
        return values

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The arguments, which click does not explain, then the options."""
        declared = [one.declared for _, _, inner in self._parts for one in inner if not one.declared.names]
        if declared:
            with formatter.section("Arguments"):
                formatter.write_dl([(one.metavar, one.help) for one in declared])
        super().format_options(ctx, formatter)

    def _words(self) -> list[str]:
        return [one.declared.metavar for _, _, inner in self._parts for one in inner if not one.declared.names]

    def _strangers(self, ctx: click.Context, words: Sequence[str]) -> Iterator[Problem]:
        """A problem for each option that is not known; what follows an option that takes a value is its value."""
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        takes = {name: not one.is_flag for one in options for name in (*one.opts, *one.secondary_opts)}
        is_value = False
        for word in words:
            name, sign, _ = word.partition("=")
            if is_value or not word.startswith("-") or word == "-":
                is_value = False
            elif word == "--":
                return
            elif name in takes:
                is_value = takes[name] and not sign
            elif word.startswith("--") or word[:2] not in takes:
                yield stranger(name, takes, ctx.command_path)


def stranger(name: str, known: Iterable[str], command: str) -> Problem:
    """The problem of an option that a command does not have."""
    if instead := instead_of(name):
        return Problem(f"there is no option {name}: it is one of mergekit", "", COMMAND_LINE, instead)
    bare = {one.lstrip("-"): one for one in known}
    if name == "--suite" and "tasks" in bare:
        return Problem(f"there is no option {name}", "", COMMAND_LINE, "a suite is named as a task: --tasks m3")
    close = get_close_matches(name.lstrip("-"), bare, n=1, cutoff=0.65)
    cure = f"did you mean {bare[close[0]]}?" if close else f"{command} --help lists all"
    return Problem(f"there is no option {name}", "", COMMAND_LINE, cure)


def of_click(error: click.UsageError) -> UsageError:
    """What click itself refused, in our words."""
    command = error.ctx.command_path if error.ctx else "mixmerge"
    if isinstance(error, click.NoSuchOption) and error.ctx:
        known = [name for one in error.ctx.command.get_params(error.ctx) for name in one.opts]
        return UsageError(stranger(error.option_name, known, command))
    return UsageError(Problem(error.format_message(), "", COMMAND_LINE, f"{command} --help explains it"))


def _read(one: _Parameter, ctx: click.Context, problems: list[Problem]) -> Iterator[Any]:
    """The value of a parameter, if it has one; else what is wrong goes to the problems."""
    said = ctx.params[one.name]
    is_said = ctx.get_parameter_source(one.name) == ParameterSource.COMMANDLINE and said not in ((), None)
    if is_said:
        wrong = len(problems)
        value = one.value(said, problems)
        yield from (value,) if len(problems) == wrong else ()
    elif one.default is _NOTHING:
        rule = f"{one.shown.removesuffix('...')} is needed"
        usage = " ".join(ctx.get_usage().split()[1:])
        problems.append(Problem(rule, "", COMMAND_LINE, f"{usage} (--help explains it)"))
    else:
        yield one.default


def _parts(function: Callable[..., None]) -> Iterator[tuple[str, Callable[..., Any] | None, tuple[_Parameter, ...]]]:
    """Each parameter of a function: its name, the dataclass it is made as, if any, and the options it stands for."""
    hints = get_type_hints(function, include_extras=True)
    for one in inspect.signature(function).parameters.values():
        hint = hints[one.name]
        if is_dataclass(hint) and isinstance(hint, type):
            inner = get_type_hints(hint, include_extras=True)
            defaults = {field.name: field.default for field in fields(hint)}
            yield one.name, hint, tuple(
                _parameter(name, inner[name], _NOTHING if default is MISSING else default)
                for name, default in defaults.items()
            )  # fmt: skip
        else:
            yield one.name, None, (_parameter(one.name, hint, one.default),)


def _parameter(name: str, hint: Any, default: Any) -> _Parameter:
    kind, declared = get_args(hint)
    if get_origin(kind) is UnionType:
        kind = next(part for part in get_args(kind) if part is not type(None))
    many = get_origin(kind) is list
    return _Parameter(name, get_args(kind)[0] if many else kind, many, declared, default)


def _verbatim(text: str | None) -> str:
    """A docstring in which click re-wraps no paragraph that is indented."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join("\b\n" + one if one.startswith(" ") else one for one in paragraphs)
