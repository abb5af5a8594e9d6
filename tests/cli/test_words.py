"""How words become arguments: every wrong one is told at once, with the option and the way out; nothing runs."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated, Any

import click
import pytest

from cli.conftest import Cli
from mixmerge.cli import COMMANDS, command, run
from mixmerge.cli.failures import UsageError
from mixmerge.cli.of_mergekit import OF_MERGEKIT
from mixmerge.cli.options import Words, argument, option
from mixmerge.cli.parser import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Options that several commands share."""

    share: Annotated[float | None, option("--share", metavar="X", low=0, help="A share.")] = None
    flag: Annotated[bool | None, option("--flag/--no-flag", help="Either way.")] = None


def example(
    *,
    first: Annotated[str, argument("FIRST", "Needed.")],
    more: Annotated[Words | None, argument("[MORE]...", "Any number.")] = None,
    must: Annotated[str, option("--must", "-m", metavar="TEXT", help="Needed too.")],
    count: Annotated[int, option("--count", metavar="N", low=1, help="A number.")] = 3,
    often: Annotated[list[int] | None, option("--often", metavar="N", help="Numbers.")] = None,
    said: Group,
    quiet: Annotated[bool, option("--quiet", "-q", help="A switch.")] = False,
) -> None:
    """An example.

        kept   as it   is, however long the line may be: no word of it is moved to another line of the help

    And wrapped again.
    """
    CALLS.append({"first": first, "more": more, "must": must, "count": count, "often": often, "said": said, "q": quiet})


CALLS: list[dict[str, Any]] = []
NEEDED = {"first": "a", "must": "b"}
PLAIN = {"more": None, "count": 3, "often": None, "said": Group(), "q": False}


def called(*words: str) -> dict[str, Any]:
    """What the example is called with."""
    CALLS.clear()
    made = Command("example", example)
    with made.make_context("example", list(words)) as context:
        made.invoke(context)
    return CALLS.pop()


def refused(*words: str) -> list[str]:
    """The rules that words break, each with its cure."""
    CALLS.clear()
    with pytest.raises(UsageError) as caught:
        called(*words)
    assert not CALLS
    assert all(problem.cure for problem in caught.value.problems)
    return [f"{problem.rule}|{problem.value}|{problem.cure}" for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("a", "--must", "b"), {}),
        (("-m", "b", "a"), {}),
        (("-mb", "a", "-q"), {"q": True}),
        (("--must=b", "a", "x", "y"), {"more": ["x", "y"]}),
        (("a", "--must", "b", "--count", "12"), {"count": 12}),
        (("a", "--must", "b", "--often", "1", "--often", "-2"), {"often": [1, -2]}),
        (("a", "--must", "b", "--share", "0.5", "--no-flag"), {"said": Group(share=0.5, flag=False)}),
        (("a", "--must", "b", "--flag"), {"said": Group(flag=True)}),
        (("a", "--must", "--count"), {"must": "--count"}),  # the word after an option that takes a value is its value
        (("--must", "b", "--", "--a"), {"first": "--a"}),
    ],
    ids=" ".join,
)
def test_words_become_arguments(words: tuple[str, ...], values: dict[str, Any]) -> None:
    assert called(*words) == NEEDED | PLAIN | values


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert refused("--count", "0", "--often", "x", "--often", "2", "--share", "nan") == [
        "FIRST is needed||example [OPTIONS] FIRST [MORE]... (--help explains it)",
        "--must is needed||example [OPTIONS] FIRST [MORE]... (--help explains it)",
        "--count is a whole number, at least 1|0|write it as --count 1",
        "--often is a whole number|x|write it as --often 1",
        "--share is a number, at least 0|nan|write it as --share 1",
    ]


def test_words_that_are_read_by_a_function_of_their_own(cli: Cli) -> None:
    """All of them are told at once, beside those that are no numbers, and the recipe that is not there."""
    words = "--weight a --weight b=x --vary =1 --attack-seeds 1, --memory 1G --draws 0"
    code, out, err = cli("explore", "r", "s", *words.split())
    assert (code, out) == (2, "")
    told = ("--weight is NAME=VALUE", "a task's weight is a number", "--vary is NAME=VALUE", "seeds are whole numbers",
            "a size is a number of bytes", "--draws is a whole number",
            "a recipe must be a readable file", "refused: 7 problems")  # fmt: skip
    for text in told:
        assert text in err
    code, _, err = cli("merge", "r", "o", "--memory", "x", "--shard-size", "0")
    assert (code, err.count("a size is a number of bytes")) == (2, 2)


def test_empty_words_mean_nothing() -> None:
    """As an unset variable of a shell script: an empty output folder would be the one that the person is in."""
    assert refused("", "", "--must", "") == [
        "FIRST says something|an empty word|say which",
        "[MORE]... says something|an empty word|say which",
        "--must says something|an empty word|write it as --must TEXT",
    ]


@pytest.mark.parametrize("text", ["", "1.5", "1e3", "0x1", "nan", "inf", "-1", "²", "one"])
def test_numbers_that_are_none(text: str) -> None:
    assert refused("a", "--must", "b", "--count", text)[0].startswith("--count is a whole number, at least 1|")


def test_all_unknown_options_are_told_at_once() -> None:
    told = refused("a", "--mist", "b", "--flag", "--zzz=1", "--must", "--never", "-x", "-9", "--", "--not-looked-at")
    assert told == [
        "there is no option --mist||did you mean --must?",
        "there is no option --zzz||example --help lists all",
        "there is no option -x||example --help lists all",
        "there is no option -9||example --help lists all",
    ]


def test_options_of_mergekit_are_known_by_name() -> None:
    told = refused(*OF_MERGEKIT)
    assert [line.split("|")[2] for line in told] == list(OF_MERGEKIT.values())
    assert not options_of("merge") & set(OF_MERGEKIT)
    for name, cure in OF_MERGEKIT.items():  # what a cure says exists
        for word in cure.replace(":", " ").replace(",", " ").split():
            assert not word.startswith("--") or word in options_of("merge"), (name, word)


@pytest.mark.parametrize(("word", "known"), [("--no-cuda", "--cuda"), ("-j8", "-j"), ("-vv", "-v")])
def test_other_forms_of_them_too(word: str, known: str) -> None:
    rule = f"there is no option {word}: it is one of mergekit"
    assert refused("a", "--must", "b", word) == [f"{rule}||{OF_MERGEKIT[known]}"]


def options_of(name: str) -> set[str]:
    found = command(name)
    with found.make_context(name, [], resilient_parsing=True) as context:
        return {text for one in found.get_params(context) for text in (*one.opts, *one.secondary_opts)}


def test_what_click_itself_refuses_has_a_way_out(cli: Cli) -> None:
    for words in (("plan", "--memory"), ("verify", "a", "--quiet=yes"), ("--verion",), ("--debugg", "plan")):
        code, out, err = cli(*words)
        assert (code, out) == (2, "")
        assert "  fix:   " in err
        assert err.endswith("refused: 1 problem\n")
    assert "did you mean --version?" in cli("--verion").err


def test_too_many_words(cli: Cli) -> None:
    code, _, err = cli("methods", "ties", "linear", "dare_ties", "--markdown")
    assert code == 2
    assert "mixmerge methods takes no more words than: [NAME]" in err
    assert "found: linear dare_ties" in err
    assert "mixmerge demo takes no words\n  found: here" in cli("demo", "here").err


def test_help_keeps_indented_lines_and_explains_arguments() -> None:
    made = Command("example", example)
    with made.make_context("example", [], resilient_parsing=True) as context:
        text = made.get_help(context)
    assert inspect.getdoc(example).split("\n\n")[1] in text  # type: ignore[union-attr]
    assert "FIRST      Needed." in text
    assert "A number.  [default: 3]" in text
    assert "Needed too.  [required]" in text


@pytest.mark.parametrize(
    "words", [("-h",), ("merge", "-h"), ("merge", "recipe.yaml", "--threads", "x", "--help"), ()], ids=" ".join
)
def test_help(words: tuple[str, ...], cli: Cli) -> None:
    code, out, err = cli(*words)
    assert (code, err) == (0, "")
    assert out.startswith("Usage: mixmerge")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_is_explained(name: str) -> None:
    for one in command(name).params:
        if isinstance(one, click.Option):
            assert one.help
            assert one.help[-1] in ".]"
            assert one.is_flag or one.metavar


@pytest.mark.parametrize("name", COMMANDS)
def test_a_misspelt_option_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--quite", "--thread", "x"]) == 2
    err = capsys.readouterr().err
    assert "there is no option --quite" in err
    assert "there is no option --thread" in err
    assert err.count("fix:") == 2
    assert "Traceback" not in err
