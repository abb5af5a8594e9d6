"""mixmerge merge: with a recipe, without one, said again, resumed; what is printed where."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from cli.conftest import RECIPE, Cli
from mixmerge.cli import merge as merge_module
from mixmerge.cli import progress
from support.models import weight_bytes

SAME = ["--method", "ties", "--base", "base", "expert-a", "expert-b", "--density", "0.5", "--alpha", "0.5"]


def test_recipe_and_options_mean_the_same(place: Path, cli: Cli) -> None:
    assert cli("merge", "recipe.yaml", "one").code == 0
    assert cli("merge", *SAME, "--seed", "42", "-o", "two").code == 0
    assert cli("merge", "recipe.yaml", "-o", "three").code == 0
    assert weight_bytes(place / "one") == weight_bytes(place / "two") == weight_bytes(place / "three")


def test_what_is_printed(place: Path, cli: Cli) -> None:
    code, out, err = cli("merge", "recipe.yaml", "out")
    assert code == 0
    assert err == ""
    lines = out.splitlines()
    assert [line[:10].strip() for line in lines if line[0] != " "] == ["merged", "ratio", "time", "memory", "again"]
    assert re.match(r"merged    out: [\d.]+ kB, \d+ tensors, 1 file$", lines[0])
    assert "expert-a" in lines[1]
    assert "drawn from Beta(0.5, 0.5) with seed 42" in lines[1]
    record = json.loads((place / "out/mixmerge.json").read_text())
    assert f"{record['ratios']['model'][0]:.6g} expert-a" in lines[1]


@pytest.mark.parametrize(
    "words",
    [
        ["recipe.yaml", "--seed", "7", "--dare", "0.3"],
        ["recipe.yaml", "--filter", "mlp,q_proj", "--filter", "norm"],
        [*SAME, "-p", "trim=tensor", "-p", "scale=0.5", "--dare", "0.1", "--no-dare-rescale", "--seed", "3"],
        ["--method", "linear", "expert-a", "expert-b", "expert-c", "--alpha", "0.5,1,2", "--dtype", "float32"],
    ],
    ids=" ".join,
)
def test_said_again_gives_the_same_bytes(words: list[str], place: Path, cli: Cli) -> None:
    code, out, err = cli("merge", *words, "-o", "first")
    assert code == 0, err
    again = shlex.split(next(line for line in out.splitlines() if line.startswith("again"))[10:])
    assert again[:2] == ["mixmerge", "merge"]
    assert again[-2:] == ["-o", "OUT"]
    assert "--ratio" in again
    assert "--alpha" not in again
    code, _, err = cli(*again[1:-1], "second")
    assert code == 0, err
    assert weight_bytes(place / "first") == weight_bytes(place / "second")


def test_said_again_where_weights_are_not_finite(place: Path, cli: Cli) -> None:
    file = place / "expert-a" / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-2:] = b"\xc0\x7f"  # NaN
    file.write_bytes(data)
    words = ["--method", "linear", "expert-a", "expert-b", "--ratio", "0.5"]
    assert cli("merge", *words, "-o", "first").code == 2
    out = cli("merge", *words, "--allow-nonfinite", "-o", "first").out
    again = shlex.split(next(line for line in out.splitlines() if line.startswith("again"))[10:])
    assert cli(*again[1:-1], "second").code == 0
    assert weight_bytes(place / "first") == weight_bytes(place / "second")


def test_several_groups(place: Path, cli: Cli) -> None:
    code, out, _ = cli("merge", "recipe.yaml", "out", "--scope", "tensor")
    assert code == 0
    assert "lm_head.weight" not in out  # only the first are shown
    assert "... and " in out
    assert "again" not in out
    ratios = json.loads((place / "out/mixmerge.json").read_text())["ratios"]
    assert len(ratios) > 8


def test_weights(place: Path, cli: Cli) -> None:
    words = ["--method", "linear", "expert-a", "expert-b"]
    assert cli("merge", *words, "--weight", "0.25,0.75", "-o", "one").code == 0
    assert cli("merge", *words, "--weight", "0.25", "--weight", "0.75", "-o", "two").code == 0
    assert weight_bytes(place / "one") == weight_bytes(place / "two")
    code, out, _ = cli("merge", *words, "--weight", "1", "-p", "normalize=false", "-o", "three")
    assert code == 0
    assert "ratio" not in out
    recipe = json.loads((place / "three/mixmerge.json").read_text())["recipe"]
    assert "normalize: false" in recipe


def test_gradient_on_the_command_line(place: Path, cli: Cli) -> None:
    words = ["--method", "task_arithmetic", "--base", "base", "expert-a", "expert-b", "-p", "weight=0,1"]
    code, out, err = cli("plan", *words)
    assert code == 0, err
    assert "weight 0 to 1 by tensor for expert-a" in out


def test_options_win_over_the_recipe(place: Path, cli: Cli) -> None:
    code, out, _ = cli("merge", "recipe.yaml", "out", "--ratio", "0.3")
    assert code == 0
    assert "ratio     0.3 expert-a, 0.7 expert-b (fixed)" in out


def test_overwrite_and_shards(place: Path, cli: Cli) -> None:
    assert cli("merge", "recipe.yaml", "out").code == 0
    code, out, _ = cli("merge", "recipe.yaml", "out", "--overwrite", "--shard-size", "1.5kB")
    assert code == 0
    assert re.search(r"tensors, \d+ files", out)
    assert (place / "out/model.safetensors.index.json").exists()


def test_notes_go_to_stderr_unless_quiet(place: Path, cli: Cli) -> None:
    (place / "recipe.yaml").write_text(RECIPE + "name: mine\n")
    code, out, err = cli("merge", "recipe.yaml", "out")
    assert code == 0
    assert err.startswith("note: recipe.yaml:11 (name): no effect")
    assert "note" not in out
    assert cli("merge", "recipe.yaml", "out", "--overwrite", "--quiet").err == ""


def test_peak_memory_may_be_unknown(place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_module, "_peak_memory", lambda: 0)
    assert "memory" not in cli("merge", "recipe.yaml", "out").out


def test_bar_on_a_terminal(place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "is_terminal", lambda: True)
    code, out, err = cli("merge", "recipe.yaml", "out")
    assert code == 0
    assert "merging" in err
    assert "measuring" in err or "sampling" in err
    assert "merging" not in out
    assert cli("merge", "recipe.yaml", "out", "--overwrite", "-q").err == ""


def test_verify(place: Path, cli: Cli) -> None:
    assert cli("merge", "recipe.yaml", "out").code == 0
    code, out, err = cli("verify", "out", "--threads", "2")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"out: all \d+ tensors have the bytes their record states\n", out)
    path = place / "out/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    code, out, err = cli("verify", "out")
    assert (code, out) == (1, "")
    assert "every tensor has the bytes its record states" in err
    assert "tensor" in err
    assert "failed: 1 problem" in err
    assert cli("verify", "base").code == 2
    assert cli("verify", "nowhere").code == 2


def test_the_way_to_merge_again_with_a_folder_that_looks_like_an_option(place: Path, cli: Cli) -> None:
    (place / "expert-a").rename(place / "-a")
    code, out, _ = cli("merge", "--method", "linear", "--ratio", "0.5", "-o", "out", "--", "-a", "expert-b")
    assert code == 0
    [again] = [line.removeprefix("again     mixmerge ") for line in out.splitlines() if line.startswith("again")]
    code, _, err = cli(*again.replace("OUT", "out2").split())
    assert (code, err) == (0, "")
    assert (place / "out2" / "model.safetensors").read_bytes() == (place / "out" / "model.safetensors").read_bytes()
