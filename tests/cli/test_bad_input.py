"""Every bad input of the specification, at the command line: exit code, rule, place and cure; nothing left behind."""

from __future__ import annotations

import errno
import json
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from cli.conftest import RECIPE, Cli
from support.models import BF16, cast, digest_tree, llama_shapes, moved, smooth, weight_bytes, write_model

WEIGHTS = "expert-b/model.safetensors"


class Bad(NamedTuple):
    """One bad input: how it comes about, and what the message must hold (rule, place, cure)."""

    name: str
    spoil: Callable[[Path], object]
    told: tuple[str, ...]


def edited(old: str, new: str) -> Callable[[Path], object]:
    """Another recipe text."""
    assert old in RECIPE
    return lambda place: (place / "recipe.yaml").write_text(RECIPE.replace(old, new))


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], object]:
    """expert-b with another safetensors header."""

    def spoil(place: Path) -> None:
        header, data = header_of(place / WEIGHTS)
        change(header)
        text = json.dumps(header).encode()
        (place / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + data)

    return spoil


def replaced(**tensors: Any) -> Callable[[Path], object]:
    """expert-b with some tensors replaced (None: left out); __ in a keyword stands for a dot."""

    def spoil(place: Path) -> None:
        model = cast(moved(smooth(llama_shapes(), 0), 5), BF16)
        for name, values in tensors.items():
            key = name.replace("__", ".")
            model.pop(key, None)
            if values is not None:
                model[key] = values.astype(BF16)
        shutil.rmtree(place / "expert-b")
        write_model(place / "expert-b", model)

    return spoil


def truncated(place: Path) -> None:
    path = place / WEIGHTS
    path.write_bytes(path.read_bytes()[:-10])


def overlapping(header: dict[str, Any]) -> None:
    begin, end = header["model.norm.weight"]["data_offsets"]
    header["model.norm.weight"]["data_offsets"] = [begin - 4, end - 4]


def unknown_dtype(header: dict[str, Any]) -> None:
    header["model.norm.weight"]["dtype"] = "F7"


def indexed(file: str) -> Callable[[Path], object]:
    """expert-b with an index that names a file for one tensor."""

    def spoil(place: Path) -> None:
        names = [name for name in header_of(place / WEIGHTS)[0] if name != "__metadata__"]
        shards = dict.fromkeys(names, "model.safetensors") | {"lm_head.weight": file}
        (place / "expert-b/model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))

    return spoil


def long_header(place: Path) -> None:
    path = place / WEIGHTS
    path.write_bytes(struct.pack("<Q", 10**6) + path.read_bytes()[8:])


def quantised(place: Path) -> None:
    path = place / "expert-a/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": {"quant_method": "gptq"}}))


def tokens(**named: Sequence[str]) -> Callable[[Path], object]:
    """Some models with a tokenizer of these learned tokens."""

    def spoil(place: Path) -> None:
        for name, listed in named.items():
            vocabulary = {token: number for number, token in enumerate(listed)}
            content = json.dumps({"model": {"vocab": vocabulary}})
            (place / name.replace("_", "-") / "tokenizer.json").write_text(content)

    return spoil


NAN, INF = np.full(8, np.nan), np.full(8, np.inf)
CASES = [
    Bad("truncated shard", truncated, (WEIGHTS.partition("/")[2], "fix:")),
    Bad("header beyond the file", long_header, ("header", "expert-b", "fix:")),
    Bad("overlapping offsets", with_header(overlapping), ("model.norm.weight", "expert-b", "fix:")),
    Bad("index names a missing file", indexed("gone.safetensors"), ("gone.safetensors", "expert-b", "fix:")),
    Bad("index names an outside file", indexed("../base/model.safetensors"), ("../base", "expert-b", "fix:")),
    Bad("unknown dtype", with_header(unknown_dtype), ("F7", "model.norm.weight", "fix:")),
    Bad("other shape", replaced(model__norm__weight=np.zeros(9)), ("same shapes", "model.norm.weight", "on_mismatch")),
    Bad("missing tensor", replaced(model__norm__weight=None), ("missing in expert-b", "model.norm.weight", "fix:")),
    Bad("extra tensor", replaced(extra__weight=np.zeros(2)), ("missing in expert-a", "extra.weight", "fix:")),
    Bad("NaN", replaced(model__norm__weight=NAN), ("model.norm.weight", "expert-b", "--allow-nonfinite")),
    Bad("infinity", replaced(model__norm__weight=INF), ("model.norm.weight", "expert-b", "--allow-nonfinite")),
    Bad("unknown key", edited("mixup:", "mixupp:"), ("'mixupp'", "recipe.yaml:8", "did you mean 'mixup'?")),
    Bad("unknown method", edited("ties", "tise"), ("'tise'", "recipe.yaml:1 (merge_method)", "did you mean 'ties'?")),
    Bad("method of mergekit", edited("ties", "slerp"), ("known to mergekit but not in this version", "recipe.yaml:1")),
    Bad("misspelt parameter", edited("density", "densty"), ("'densty'", "recipe.yaml:7", "did you mean 'density'?")),
    Bad("ratio", edited("alpha: 0.5", "ratio: [0.5, 0.6]"), ("sum to 1, not 1.1", "recipe.yaml:9", "scaled:")),
    Bad(
        "alpha",
        edited("alpha: 0.5", "alpha: -1"),
        ("alpha must be between 0 and", "recipe.yaml:9 (mixup.alpha)", "fix:"),
    ),
    Bad("density", edited("density: 0.5", "density: 1.5"), ("between 0 and 1", "recipe.yaml:7", "0.015")),
    Bad("weight beside mixup", edited("density: 0.5", "weight: 1"), ("weight is supplied", "recipe.yaml:7", "remove")),
    Bad("quantised", quantised, ("elements are weights", "expert-a", "dequantise")),
    Bad("no base", edited("base_model: base\n", ""), ("needs a base_model", "recipe.yaml:1", "add `base_model: ...`")),
    Bad("unknown vocabulary", tokens(expert_a="xy", expert_b="yx"), ("every model are known", "model base", "beside")),
    Bad(
        "malformed tokenizer",
        lambda place: tokens(base="xy", expert_a="yx")(place) or (place / "expert-b/tokenizer.json").write_text('{"a'),
        ("tokenizer.json is malformed: Unterminated string", "line 1 column 2", "model expert-b", "mend"),
    ),
    Bad(
        "unknown token",
        lambda place: tokens(base="xy")(place) or edited("mixup:", "tokenizer: {pad_token: z}\nmixup:")(place),
        ("pad_token is a token of the output", "'z'", "recipe.yaml:8 (tokenizer.pad_token)", "tokens:"),
    ),
    Bad("unclear key", edited("base_model", "base"), ("'base'", "recipe.yaml:2", "did you mean 'base_model'?")),
    Bad(
        "other vocabularies",
        tokens(base="xy", expert_a="xy", expert_b="xz"),
        ("learned vocabulary", "expert-b", "'z'", "tokenizer_source: base"),
    ),
    Bad("no such model", edited("expert-b", "./expert-x"), ("hub id", "./expert-x", "fix:")),
]


@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.name)
def test_refused(bad: Bad, place: Path, cli: Cli) -> None:
    bad.spoil(place)
    before = digest_tree(place)
    code, out, err = cli("merge", "recipe.yaml", "out")
    assert code == 2, err
    assert out == ""
    for text in bad.told:
        assert text in err
    assert err.rstrip().splitlines()[-1].startswith("refused: ")
    assert "Traceback" not in err
    assert "\033" not in err
    assert digest_tree(place) == before  # nothing left behind, inputs untouched


@pytest.mark.parametrize("bad", [bad for bad in CASES if bad.name not in ("NaN", "infinity")], ids=lambda bad: bad.name)
def test_plan_refuses_the_same(bad: Bad, place: Path, cli: Cli) -> None:
    bad.spoil(place)
    code, _, err = cli("plan", "recipe.yaml")
    assert code == 2, err
    for text in bad.told:
        assert text in err


def test_nonfinite_is_allowed_where_asked(place: Path, cli: Cli) -> None:
    replaced(model__norm__weight=NAN)(place)
    assert cli("merge", "recipe.yaml", "out", "--allow-nonfinite").code == 0


def test_everything_is_told_at_once(place: Path, cli: Cli) -> None:
    (place / "recipe.yaml").write_text("merge_method: tise\nmodles: []\ndtype: bf\nmixup: {alpha: -1}\n")
    code, _, err = cli("merge", "recipe.yaml", "out")
    assert code == 2
    for line in (1, 2, 3, 4):
        assert f"recipe.yaml:{line}" in err
    assert "refused: 5 problems" in err


@pytest.mark.parametrize("out", ["expert-a/merged", "expert-a", ".", "nowhere/../base"])
def test_output_inside_an_input(out: str, place: Path, cli: Cli) -> None:
    before = digest_tree(place)
    code, _, err = cli("merge", "recipe.yaml", out, "--overwrite")
    assert code == 2
    assert "outside every input" in err
    assert "choose another output folder" in err
    assert digest_tree(place) == before


def test_output_exists(place: Path, cli: Cli) -> None:
    (place / "out").mkdir()
    code, _, err = cli("merge", "recipe.yaml", "out")
    assert code == 2
    assert "an output folder is a new one" in err
    assert "--overwrite" in err
    assert not (place / "out.partial").exists()


def test_no_space(place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(place)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    for command in (("merge", "recipe.yaml", "out"), ("plan", "recipe.yaml", "--out", "out")):
        code, _, err = cli(*command)
        assert code == 2
        assert "room for the output" in err
        assert "100 free" in err
        assert not list(place.glob("out*"))


def test_memory_too_small(place: Path, cli: Cli) -> None:
    code, _, err = cli("merge", "recipe.yaml", "out", "--memory", "10MiB")
    assert code == 2
    assert "memory budget" in err
    assert "fix:   give it " in err
    assert not list(place.glob("out*"))


def test_disk_fills_in_mid_run_and_resume_gives_the_same_bytes(
    place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixmerge import fileio

    assert cli("merge", "recipe.yaml", "whole").code == 0
    with monkeypatch.context() as patch:
        real, calls = fileio.write_all, iter(range(10**6))

        def full(*arguments: Any) -> Any:
            if next(calls) >= 5:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments)

        patch.setattr(fileio, "write_all", full)
        code, _, err = cli("merge", "recipe.yaml", "out", "--threads", "1")
    assert code == 1
    assert "No space left" in err
    assert "--resume" in err
    assert err.rstrip().endswith("failed: 1 problem")
    assert not (place / "out").exists()
    assert (place / "out.partial").exists()
    assert cli("merge", "recipe.yaml", "out").code == 2  # an unfinished merge is in the way
    assert cli("merge", "recipe.yaml", "out", "--resume").code == 0
    assert weight_bytes(place / "out") == weight_bytes(place / "whole")
    assert not (place / "out.partial").exists()


def test_a_damaged_unfinished_merge_is_begun_afresh_in_one_line(
    place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixmerge import fileio

    with monkeypatch.context() as patch:
        patch.setattr(fileio, "sync", lambda fd: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
        assert cli("merge", "recipe.yaml", "out").code == 1
    (place / "out.partial" / "model.safetensors").unlink()
    code, _, err = cli("merge", "recipe.yaml", "out", "--resume")
    assert code == 0
    assert [line for line in err.splitlines() if line.startswith("writing again: ")] == err.splitlines()
    assert err.count("\n") == 1
    assert cli("verify", "out").code == 0


LONG = "x" * 300  # no file can have such a name: asking for it is an error of its own on some Pythons

USAGE = [
    (("merge",), "mixmerge merge recipe.yaml OUT;"),
    (("merge", "recipe.yaml"), "an output folder is needed"),
    (("merge", "recipe.yaml", "out", "-o", "other"), "said once"),
    (("merge", "base", "out"), "first word is a recipe file"),
    (("merge", "recipe.yaml", "expert-a", "out"), "two words"),
    (("merge", "gone.yaml", "out"), "must be a readable file"),
    (("merge", LONG, "out"), "must be a readable file"),
    (("merge", LONG + ".yaml", "out"), "must be a readable file"),
    (("merge", "--method", "linear", "expert-a", LONG + ".yaml", "-o", "out"), "not with a recipe file"),
    (("verify", LONG), "no such folder"),
    (("merge", "--method", "ties", "--base", "base", "expert-a", "expert-b"), "said with -o"),
    (("merge", "--method", "ties", "-o", "out"), "models are said"),
    (("merge", "--method", "ties", "recipe.yaml", "-o", "out"), "not with a recipe file"),
    (("merge", "recipe.yaml", "out", "--base", "base", "--density", "1"), "--base goes with --method"),
    (("merge", "--method", "ties", "-p", "trim", "expert-a", "-o", "out"), "NAME=VALUE"),
    (("merge", "--method", "ties", "-p", "trim=a", "-p", "trim=b", "expert-a", "-o", "out"), "trim is given once"),
    (("merge", "--method", "linear", "-p", "densty=2", "expert-a", "-o", "out"), "-p densty=2 (parameters.densty)"),
    (("merge", "--method", "ties", "-p", "density=1", "--density", "1", "expert-a", "-o", "out"), "given once"),
    (("merge", "recipe.yaml", "out", "--memory", "1G"), "1GiB"),
    (("merge", "recipe.yaml", "out", "--alpha", "1", "--ratio", "0.5"), "exclude each other"),
    (("merge", "recipe.yaml", "out", "--seed", "-1"), "--seed (seed)"),
    (("merge", "recipe.yaml", "out", "--ratio", "0.2,0.2"), "--ratio (mixup.ratio)"),
    (("merge", "recipe.yaml", "out", "--scope", "layers"), "did you mean 'layer'?"),
    (("plan",), "mixmerge plan recipe.yaml;"),
    (("mrege",), "did you mean 'merge'?"),
    (("methods", "tise"), "did you mean 'ties'?"),
    (("methods", "della"), "known to mergekit but not in this version"),
]


@pytest.mark.parametrize(("words", "told"), USAGE, ids=[" ".join(words)[:60] for words, _ in USAGE])
def test_wrong_words(words: tuple[str, ...], told: str, place: Path, cli: Cli) -> None:
    before = digest_tree(place)
    code, out, err = cli(*words)
    assert code == 2
    assert out == ""
    assert told in err
    assert "fix:" in err
    assert digest_tree(place) == before


def test_words_the_parser_refuses(place: Path, cli: Cli) -> None:
    for words in (("merge", "--sead", "1"), ("merge", "recipe.yaml", "out", "--threads", "0"), ("verify",)):
        assert cli(*words).code == 2


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[BaseException], None]]:
    """Make the library fail in a way it never should."""
    from mixmerge import api

    def fail(error: BaseException) -> None:
        def raised(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(api, "merge", raised)

    return fail  # type: ignore[return-value]


def test_unexpected_errors_take_one_line(place: Path, cli: Cli, broken: Callable[[BaseException], None]) -> None:
    for error, told in ((RuntimeError("why\nhow"), "RuntimeError: why;"), (OSError(5, "I/O error"), "I/O error")):
        broken(error)
        code, out, err = cli("merge", "recipe.yaml", "out")
        assert (code, out) == (1, "")
        assert told in err
        assert "--debug" in err
        assert len(err.splitlines()) == 1
        for words in (("--debug", "merge", "recipe.yaml", "out"), ("merge", "recipe.yaml", "out", "--debug")):
            code, _, err = cli(*words)
            assert code == 1
            assert "Traceback" in err


def test_control_c(place: Path, cli: Cli, broken: Callable[[BaseException], None]) -> None:
    broken(KeyboardInterrupt())
    code, _, err = cli("merge", "recipe.yaml", "out")
    assert code == 130
    assert "nothing was written" in err
    (place / "out.partial").mkdir()
    code, _, err = cli("merge", "recipe.yaml", "out", "--resume")
    assert code == 130
    assert "out.partial" in err
    assert "--resume goes on" in err
