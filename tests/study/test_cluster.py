"""A crew of actors, on a Ray made up here: who gets which job, and what happens when actors die. See test_prove_ray."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mixmerge.errors import MissingExtraError, PlanError
from mixmerge.study import explore
from mixmerge.study.cluster import ATTEMPTS, STARTS, Cluster, ClusterError
from mixmerge.study.workbench import Job, Plain, Result, Setup

NODES = [
    {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}},
    {"Alive": True, "Resources": {"CPU": 3.0}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
]


class RayError(Exception):
    pass


class RayTaskError(RayError):
    pass


class Made:
    """As much of Ray as a crew uses. starts, deaths: what the next starts and jobs end with; None: well."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.starts: deque[Exception | None] = deque()
        self.deaths: deque[Exception | None] = deque()
        self.asked: list[str] = []
        self.wants: dict[str, Any] = {}
        self.killed = 0
        self.begun = False
        module = ModuleType("ray")
        module.__dict__.update(
            exceptions=ModuleType("ray.exceptions"), is_initialized=lambda: self.begun, init=self.init,
            shutdown=self.end, nodes=lambda: NODES, remote=self.remote, kill=self.kill, get=self.get,
            wait=lambda refs, **_: (refs[:1], refs[1:]),
        )  # fmt: skip
        module.exceptions.__dict__.update(RayError=RayError, RayTaskError=RayTaskError)
        monkeypatch.setitem(sys.modules, "ray", module)
        monkeypatch.setitem(sys.modules, "ray.exceptions", module.exceptions)

    def init(self, address: str, **_: Any) -> None:
        if address == "nowhere:1":
            raise ConnectionError("no cluster there")
        self.begun = True

    def end(self) -> None:
        self.begun = False

    def remote(self, **wants: Any) -> Any:
        self.wants = wants
        return lambda cls: Handle(lambda *arguments: Actor(self, cls, arguments))

    def kill(self, actor: Any) -> None:
        self.killed += 1

    def get(self, reference: Any) -> Any:
        if isinstance(reference.value, Exception):
            raise reference.value
        return reference.value


class Handle:
    """Something with `.remote(...)`."""

    def __init__(self, called: Any) -> None:
        self.remote = called


class Reference:
    def __init__(self, value: Any) -> None:
        self.value = value


class Actor:
    def __init__(self, ray: Made, cls: Any, arguments: Any) -> None:
        self.ready = Handle(lambda: Reference((ray.starts.popleft() if ray.starts else None) or True))
        self.run = Handle(lambda job: self._run(ray, job))
        self.close = Handle(lambda: Reference(None))

    def _run(self, ray: Made, job: Job) -> Reference:
        ray.asked.append(job.name)
        death = ray.deaths.popleft() if ray.deaths else None
        return Reference(Result(seconds=(1.0, 2.0)) if death is None else death)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Made:
    return Made(monkeypatch)


def crew(size: int | None = 2, cpus: float = 2.0, gpus: float = 0.0, address: str = "auto") -> Cluster:
    return Cluster(Setup("", (), Path("scratch")), size, address, cpus, gpus)


def job(name: str) -> Job:
    return Job(name, Plain(), {})


def test_as_many_workers_as_fit(ray: Made) -> None:
    one = crew(size=None)
    assert one.size == 3
    assert ray.wants == {"num_cpus": 2.0, "num_gpus": 0.0, "max_restarts": 0}
    assert crew(size=None, gpus=0.5).size == 2
    assert crew(size=7).size == 7
    one.close()
    assert (ray.killed, ray.begun) == (3, False)


def test_a_ray_that_runs_already_is_left_running(ray: Made) -> None:
    ray.begun = True
    crew().close()
    assert ray.begun


def test_every_job_once(ray: Made) -> None:
    one = crew()
    for name in "abc":
        one.submit(job(name))
    assert sorted(one.next()[0].name for _ in "abc") == ["a", "b", "c"]
    assert sorted(ray.asked) == ["a", "b", "c"]


def test_a_job_whose_worker_died_is_run_again(ray: Made) -> None:
    one = crew(size=1)
    ray.deaths.append(RayError("the node is gone"))
    one.submit(job("a"))
    assert one.next() == (job("a"), Result(seconds=(1.0, 2.0)))
    assert ray.asked == ["a", "a"]


def test_a_job_that_kills_its_workers_is_given_up(ray: Made) -> None:
    one = crew(size=1)
    one.submit(job("a"))
    ray.deaths.extend([RayError("gone")] * ATTEMPTS)
    found, result = one.next()
    assert (found.name, result.error) == ("a", "its worker died twice")
    one.submit(job("b"))
    assert one.next()[1].error == ""


def test_what_a_worker_raises_is_told(ray: Made) -> None:
    one = crew(size=1)
    one.submit(job("a"))
    ray.deaths.append(RayTaskError("cannot be unpickled"))
    assert one.next()[1].error == "cannot be unpickled"


def test_workers_that_never_start_end_the_study(ray: Made) -> None:
    ray.starts.extend([RayError("no module named mixmerge")] * STARTS)
    one = crew(size=1)
    one.submit(job("a"))
    with pytest.raises(ClusterError, match="no module named mixmerge") as caught:
        one.next()
    assert caught.value.exit_code == 1


def test_more_than_any_node_has_is_refused(ray: Made) -> None:
    with pytest.raises(PlanError, match="4 CPUs and 2 GPUs; the nodes have: 4 CPUs, 1 GPUs; 3 CPUs, 0 GPUs"):
        crew(cpus=4.0, gpus=2.0)


def test_no_cluster_is_told_before_anything_is_written(ray: Made, tiny, tmp_path) -> None:
    with pytest.raises(PlanError, match="no cluster there"):
        explore(tiny.recipe, tiny.tasks, folder=tmp_path / "s", ray="nowhere:1")
    assert not (tmp_path / "s").exists()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"mixmerge\[cluster\]"):
        crew()
