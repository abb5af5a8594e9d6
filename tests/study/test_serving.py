"""Draws scored through a server started for each: the scores are the live model's, and nothing is left running."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.errors import PlanError
from mixmerge.evaluation import BackendError, load_tasks
from mixmerge.recipe import canonical, parse_recipe
from mixmerge.report import validate
from mixmerge.study import demonstration, explore, guard, serving
from mixmerge.study.serving import Server, served
from mixmerge.study.space import Point
from mixmerge.study.workbench import Job, Parent, Plain, Setup, Workbench

SCRIPT = Path(__file__).parents[1] / "support" / "completions.py"


def command(kind: str) -> str:
    return shlex.join([sys.executable, str(SCRIPT), "{model}", "{port}", kind])


def bench(tmp_path: Path, recipe: str, tasks: tuple[str, ...], server: Server | None) -> Workbench:
    return Workbench(Setup(canonical(parse_recipe(recipe)), tasks, tmp_path / "scratch", threads=1, server=server))


def test_a_server_scores_as_the_live_model_does(tmp_path) -> None:
    """A merge of the zoo, choices and texts, loaded by transformers on the other side."""
    pair = ("adder", "sorter")
    recipe = canonical(demonstration.pair_recipe(pair, dare=False))
    texts = str(demonstration.zoo() / "tasks" / "add.test.jsonl")
    lines = Path(texts).read_text().splitlines()[:40]
    short = tmp_path / "add.jsonl"
    short.write_text("\n".join(lines) + "\n")
    choices = tmp_path / "choose.jsonl"
    choices.write_text("".join(f'{{"prompt": "add {a}+{b}=", "choices": ["{a + b}", "{a + b + 1}", "{a + b - 10}"], '
                               f'"answer": 0}}\n' for a in (120, 250, 377) for b in (101, 222, 480)))  # fmt: skip
    tasks = (str(short), str(choices))
    job = Job("draw", Point({"model": (0.5, 0.5)}, {}), {"add": np.arange(40), "choose": np.arange(9)})
    results = []
    for server in (None, Server(command("model"))):
        one = bench(tmp_path, recipe, tasks, server)
        result = one.run(job)
        one.close()
        assert not result.error
        results.append(result)
    live, through_server = results
    for task in ("add", "choose"):
        assert live.scores[task][1].tolist() == through_server.scores[task][1].tolist()
    assert 0 < live.scores["add"][1].sum() < 40
    assert not (tmp_path / "scratch").exists()


def test_a_whole_study_through_servers(tiny, tmp_path) -> None:
    """Every draw has a server of its own."""
    options: dict[str, Any] = {"backend": "openai", "serve": command("bytes"), "threads": 1}
    study = explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=3, **options)
    assert {row["state"] for row in study.trials} == {"complete"}
    answers = {(tmp_path / "s" / "items" / f"trial-{n:05d}.validation.jsonl").read_text() for n in range(3)}
    assert len(answers) == 3
    validate(study.summary)
    assert study.summary["test"]["plain"] == study.summary["test"]["equal"]
    assert not (tmp_path / "s" / "scratch").exists()
    with pytest.raises(PlanError, match="backend was"):
        explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=3, threads=1)


@pytest.mark.parametrize(
    ("kind", "timeout", "told"),
    [("dies", 600.0, "no room for this model"), ("late", 0.5, "answers within 0.5 s")],
)
def test_a_server_that_does_not_come_is_told(tiny, tmp_path, kind, timeout, told) -> None:
    with pytest.raises(BackendError, match=told), served(Server(command(kind), None, timeout), tiny.a, tmp_path / "l"):
        raise AssertionError("it came")


def test_no_such_command(tiny, tmp_path) -> None:
    server = Server("surely-no-such-program {model}")
    with pytest.raises(BackendError, match="No such file"), served(server, tiny.a, tmp_path / "log"):
        raise AssertionError("it came")


def test_a_failed_draw_is_a_record_that_says_why(tiny, tmp_path) -> None:
    one = bench(tmp_path, tiny.recipe, (str(tiny.tasks[0]),), Server(command("dies")))
    for subject in (Plain(), Parent(0)):
        assert "no room for this model" in one.run(Job("x", subject, {"letters": np.arange(2)})).error
    one.close()


def test_a_key_that_a_server_prints_is_not_recorded(tiny, tmp_path, monkeypatch) -> None:
    """vLLM, for one, logs its arguments; the key came from the environment, which is the way out of --api-key."""
    monkeypatch.setenv("VLLM_API_KEY", "hunter2-hunter2")
    program = "import os, sys; print('args:', os.environ['VLLM_API_KEY']); sys.exit('no room')"
    words = shlex.join([sys.executable, "-c", program, "{model}", "{port}"])
    one = bench(tmp_path, tiny.recipe, (str(tiny.tasks[0]),), Server(words))
    error = one.run(Job("x", Plain(), {"letters": np.arange(2)})).error
    one.close()
    assert "args: ($VLLM_API_KEY) | no room" in error
    assert "hunter2" not in error


def test_nothing_outlives_the_context(tiny, tmp_path) -> None:
    """Neither the server nor what it started."""
    note = tmp_path / "child"
    program = (
        f"import subprocess, sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import completions;"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        f"open({str(note)!r}, 'w').write(str(child.pid)); completions.main(*sys.argv[1:])"
    )
    words = shlex.join([sys.executable, "-c", program, "{model}", "{port}", "bytes"])
    (task,) = load_tasks([tiny.tasks[0]])
    with served(Server(words), tiny.a, tmp_path / "log") as backend:
        assert backend.score(task, [0, 1]).shape == (2,)
        child = int(note.read_text())
        os.kill(child, 0)
    assert gone(child)


def test_a_server_dies_with_whoever_started_it(tmp_path) -> None:
    program = "import sys, time; print('here', flush=True); time.sleep(600)"
    starter = (
        "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True);"
        "print(p.pid, flush=True); p.wait()"
    )
    words = [sys.executable, "-c", starter, sys.executable, guard.__file__, sys.executable, "-c", program]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = {process.stdout.readline().strip(), process.stdout.readline().strip()}
        (pid,) = said - {"here"}
        process.send_signal(signal.SIGKILL)
    assert gone(int(pid))


def gone(pid: int, within: float = 120.0) -> bool:
    """Whether a process has ended, or does soon."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_the_server_names_its_model() -> None:
    """One name: that one. Several, as of servers that load what is asked for: the folder."""
    assert serving._name(["merged"], Path("/x")) == "merged"
    assert serving._name(["gpt2", "llama"], Path("/x")) == "/x"
    assert serving._name([], Path("/x")) == "/x"


def test_a_server_without_a_list_of_models_is_there(tiny, tmp_path) -> None:
    """One that fails to list them is asked for the folder; one that still loads is waited for."""
    program = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import completions, http.server as h;"
        "answers = [503, 503, 500];"
        "send = h.BaseHTTPRequestHandler.send_response;"
        "h.BaseHTTPRequestHandler.send_response = lambda self, code:"
        " send(self, answers.pop(0) if self.command == 'GET' else code);"
        "completions.main(*sys.argv[1:])"
    )
    words = shlex.join([sys.executable, "-c", program, "{model}", "{port}", "bytes"])
    (task,) = load_tasks([tiny.tasks[0]])
    with served(Server(words, timeout=600.0), tiny.a, tmp_path / "log") as backend:
        assert backend.score(task, [0, 1]).shape == (2,)
