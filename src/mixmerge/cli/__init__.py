"""The command line: it translates words into one call of the library each, and prints what comes back.

One literal table of commands. A command's module is imported when it is run, so that help costs nothing; what a
command needs of the library is imported inside it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import click

from mixmerge.cli.failures import FAILED, UsageError, exit_code
from mixmerge.cli.parser import HELP, Command, of_click
from mixmerge.cli.terminal import nobody_reads
from mixmerge.errors import MixmergeError, Problem, nearest
from mixmerge.startup import quick_loading
from mixmerge.version import __version__


class Entry(NamedTuple):
    """Where a command's function is, as `module:function`, and what `mixmerge --help` says of it.

    also: a function that tells what is wrong with the rest, where some words are (`parser.Also`). as_json: one that
    makes JSON of an error, printed where the command has --json.
    """

    target: str
    summary: str
    also: str = ""
    as_json: str = ""


COMMANDS: Final[Mapping[str, Entry]] = {
    "demo": Entry("mixmerge.cli.explore:demo", "Run the main job on tiny trained models that come with Mixmerge."),
    "plan": Entry(
        "mixmerge.cli.plan:plan", "Print what a merge will read, compute and write; reads no weights.",
        also="mixmerge.cli.plan:also_wrong", as_json="mixmerge.cli.plan_json:refused_text",
    ),
    "merge": Entry("mixmerge.cli.merge:merge", "Merge models into a new folder.", also="mixmerge.cli.merge:also_wrong"),
    "explore": Entry(
        "mixmerge.cli.explore:explore", "Draw ratios, score each merge, choose one and prove it.",
        also="mixmerge.cli.explore:also_wrong",
    ),
    "export": Entry("mixmerge.cli.explore:export", "Write the winner of a study, or another of its draws."),
    "eval": Entry(
        "mixmerge.cli.evaluate:evaluate", "Score a model on the paper's evaluation, or on other tasks.",
        also="mixmerge.cli.evaluate:also_wrong",
    ),
    "attack": Entry(
        "mixmerge.cli.attack:attack", "Word a prompt badly on purpose, and see what models lose.",
        also="mixmerge.cli.attack:also_wrong",
    ),
    "reproduce": Entry("mixmerge.cli.reproduce:reproduce", "Make a table of the M³ paper again, its numbers beside."),
    "verify": Entry("mixmerge.cli.verify:verify", "Recompute the fingerprints of a merged model and compare."),
    "methods": Entry("mixmerge.cli.methods:methods", "Explain the merge methods and their parameters."),
}  # fmt: skip
DEBUG: Final = "--debug"


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code. Nothing is raised but what ends the interpreter."""
    debug = DEBUG in arguments
    words = [word for word in arguments if word != DEBUG] or ["--help"]
    try:
        code = _run([DEBUG] * debug + words)
        sys.stdout.flush()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BrokenPipeError as error:
        return FAILED if nobody_reads() else exit_code(error, debug=debug)
    except (Exception, KeyboardInterrupt) as error:
        return exit_code(error, debug=debug)
    return code


def _run(words: list[str]) -> int:
    try:
        return _called(words)
    except MixmergeError as error:
        _print_json(words, error)
        raise


def _called(words: list[str]) -> int:
    root = _root()
    try:
        with root.make_context("mixmerge", words) as context:
            root.invoke(context)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.UsageError as error:
        raise of_click(error) from error
    return 0


def _print_json(words: Sequence[str], error: MixmergeError) -> None:
    """What is wrong, for programs: also where that is the command line itself."""
    name = next((word for word in words if not word.startswith("-")), "")
    if name in COMMANDS and COMMANDS[name].as_json and "--json" in words:
        print(_target(COMMANDS[name].as_json)(error))


class _Commands(click.Group):
    """The table as a group of commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            raise UsageError(Problem(f"there is no command {cmd_name!r}", "", "", nearest(cmd_name, COMMANDS)))
        return command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


def command(name: str) -> Command:
    """The command of that name, its module imported now."""
    entry = COMMANDS[name]
    return Command(name, _target(entry.target), _target(entry.also) if entry.also else None)


def _target(place: str) -> Any:
    module, _, function = place.partition(":")
    with quick_loading():
        return getattr(importlib.import_module(module), function)


def _root() -> _Commands:
    version = click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version,
        help="Print the version and exit.",
    )  # fmt: skip
    debug = click.Option(
        [DEBUG], is_flag=True, expose_value=False, help="Print the traceback of errors (at any place)."
    )
    text = "Merge fine-tuned language models, and find the merging ratio (Mixup Model Merge).\n\n"
    text += "`mixmerge COMMAND --help` explains one command."
    return _Commands(params=[version, debug], help=text, context_settings={"help_option_names": list(HELP)})


def _version(ctx: click.Context, _: click.Parameter, wanted: Any) -> None:
    if wanted:
        print(f"mixmerge {__version__}")
        ctx.exit()
