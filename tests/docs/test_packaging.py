"""What is packed and what is told of the package agree with its files."""

from __future__ import annotations

import re
import tomllib

from docs.blocks import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_the_sdist_holds_what_its_makefile_needs() -> None:
    """`make demo` and `make test` work in an unpacked sdist as in a checkout."""
    packed = set(PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    named = re.findall(r"(?:^|[\s:])([A-Za-z_]+)/[\w./]+\.(?:py|txt)", (ROOT / "Makefile").read_text("utf-8"))
    assert {"requirements", "bench", "tests"} <= set(named)
    assert set(named) <= packed
    assert all((ROOT / name).exists() for name in packed)


def test_the_floors_that_are_told_are_those_that_are_enforced() -> None:
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    enforced = re.findall(r"mixmerge\.(\w+)", " ".join(layers))
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("```text\n")[2].partition("```")[0]
    told = [word for line in page.splitlines() for word in line.split("  ")[0].split(", ")]
    assert sorted(told) == sorted(enforced)
    assert [told.index(one) for one in ("cli", "study", "engine", "planning", "recipe", "rng")] == sorted(
        told.index(one) for one in ("cli", "study", "engine", "planning", "recipe", "rng")
    )
