"""Every code block of the README and the docs runs, and prints what the page says. See `docs.blocks`."""

from __future__ import annotations

import re
import shlex

import pytest

from docs.blocks import LANGUAGES, PAGES, ROOT, ZOO, Session, blocks, commands, fragment, play, steady, workplace
from mixmerge.recipe import parse_recipe


@pytest.mark.parametrize("page", PAGES)
def test_page(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    assert text.count("\n```") % 2 == 0, "a block is not closed"
    with workplace() as folder:
        session = Session(folder)
        for block in blocks(text):
            assert block.language in LANGUAGES
            if block.language == "console":
                for command, printed in commands(block.body):
                    now = session.run(shlex.split(command.replace("\\\n", " ")))
                    assert steady(now) == steady(printed), f"{page}: {command}\nrun: python tests/docs/blocks.py"
            elif block.language == "yaml" and block.word in ("", "fragment"):
                parse_recipe(fragment(block.body) if block.word else block.body, page)
            else:
                play(block, session)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target, section in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", path.read_text("utf-8")):
        if "://" not in target:
            led = path.parent / target if target else path
            assert led.exists(), f"{page} links to {target}"
            assert not section or section in _sections(led.read_text("utf-8")), f"{page} links to {target}#{section}"


def _sections(text: str) -> set[str]:
    """The names that readers of Markdown give to headings: small letters, hyphens for spaces, no signs."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_are_not_run_are_understood(page: str) -> None:
    """Those of `sh` blocks: every option is there, and takes what is said."""
    from mixmerge.cli import command

    for block in blocks((ROOT / page).read_text("utf-8")):
        for line in block.body.replace("\\\n", " ").splitlines() if block.language == "sh" else ():
            words = shlex.split(line, comments=True)
            if words[:1] == ["mixmerge"]:
                found = command(words[1])
                with found.make_context(words[1], words[2:]) as context:
                    assert found.read(context), line


def test_every_environment_variable_is_explained() -> None:
    page = (ROOT / "docs/questions.md").read_text("utf-8")
    sources = [path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py")]
    names = {name for text in sources for name in re.findall(r"environ(?:\.get\(|\.setdefault\(|\[)\"(\w+)\"", text)}
    internal = {
        "LD_LIBRARY_PATH",
        "LOCAL_RANK",
        "RAY_USAGE_STATS_ENABLED",
        "HF_ALLOW_CODE_EVAL",
    }  # of others, not settings
    assert len(names) > len(internal)
    for name in names - internal:
        assert name in page, f"docs/questions.md says nothing of {name}"


def test_zoo_is_where_the_pages_look_for_it() -> None:
    assert {path.name for path in ZOO.iterdir()} >= {"base", "adder", "sorter", "flipper"}


def test_every_recipe_key_is_explained() -> None:
    from mixmerge.recipe import schema

    page = (ROOT / "docs/recipe.md").read_text("utf-8")
    groups = (schema.RECIPE_KEYS, schema.SLICE_KEYS, schema.SLICE_SOURCE_KEYS, schema.DARE_KEYS, schema.MIXUP_KEYS)
    for key in {key for group in groups for key in group}:
        assert f"`{key}`" in page, f"docs/recipe.md says nothing of {key}"


def test_every_key_of_the_json_plan_is_explained() -> None:
    from cli.test_plan import INNER_KEYS, MODEL_KEYS, PLAN_KEYS

    page = (ROOT / "docs/plan.md").read_text("utf-8")
    for key in PLAN_KEYS.union(MODEL_KEYS, *INNER_KEYS.values()):
        assert f"`{key}`" in page, f"docs/plan.md says nothing of {key}"


def test_every_command_is_in_the_readme() -> None:
    from mixmerge.cli import COMMANDS

    page = (ROOT / "README.md").read_text("utf-8")
    for name in COMMANDS:
        assert f"`mixmerge {name}" in page


def test_every_option_is_explained() -> None:
    from mixmerge.cli import COMMANDS, command

    pages = "\n".join((ROOT / page).read_text("utf-8") for page in PAGES)
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", pages))
    options = {word for name in COMMANDS for one in command(name).params for word in (*one.opts, *one.secondary_opts)}
    assert len(options) > 100
    assert {word for word in options if word.startswith("--")} - told == set()


def test_every_public_name_is_explained() -> None:
    import mixmerge

    pages = "\n".join((ROOT / page).read_text("utf-8") for page in PAGES)
    assert {name for name in mixmerge.__all__ if not re.search(rf"\bmixmerge\.{name}\b", pages)} == set()
