"""Sixteen draws into memory, evaluation aside: the cost of one beside a pass over the sources, and beside mergekit.

usage: draws.py [--work DIR] [--draws 16] [--method ties] [--drop-rate 0] [--mergekit SECONDS]

The checkpoints are those of run.py. Draws go into arrays of the parameters' sizes, as they go into the parameters of a
transformers model in memory. A study makes that model once, so its memory is had before time is taken; the seconds are
told. The pass reads every source through one buffer a thread and copies the bytes of one of them to their places in
memory: what any merge must do. --mergekit: seconds of one run of the peer, from run.py.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mixmerge.recipe import parse_recipe
from mixmerge.rng import uniform
from mixmerge.sink import LiveSink, LiveTensor
from mixmerge.study.merging import Merger, law_of
from mixmerge.study.space import Point, Space, make_space

BLOCK = 4 << 20


def recipe_text(work: Path, method: str, drop_rate: float = 0.0) -> str:
    """Two fine-tunes of a base, in a drawn ratio, with DARE where a drop rate is given."""
    base = "" if method == "linear" and not drop_rate else f"base_model: {work}/base\n"
    dare = f"dare: {{drop_rate: {drop_rate}}}\n" if drop_rate else ""
    models = f"models: [{{model: {work}/a}}, {{model: {work}/b}}]\n"
    return f"merge_method: {method}\n{base}{models}mixup: {{alpha: 0.5}}\n{dare}"


def files(folder: Path) -> Iterator[tuple[int, int]]:
    """Descriptor and size of each file of weights."""
    for path in sorted(folder.glob("*.safetensors")):
        yield os.open(path, os.O_RDONLY), path.stat().st_size


def memory_pass(work: Path, sources: list[str], out: np.ndarray) -> float:
    """Seconds to read all sources and to put the first one's bytes into memory."""
    jobs, place = [], 0
    for number, source in enumerate(sources):
        for descriptor, size in files(work / source):
            for at in range(0, size, BLOCK):
                count = min(BLOCK, size - at, max(out.size - place, 0) if number == 0 else BLOCK)
                jobs.append((descriptor, at, min(BLOCK, size - at), place if number == 0 else None, count))
                place += count if number == 0 else 0
    threads = os.cpu_count() or 1
    buffers = [bytearray(BLOCK) for _ in range(threads)]

    def work_on(thread: int) -> None:
        view = memoryview(buffers[thread])
        for descriptor, at, size, target, count in jobs[thread::threads]:
            os.preadv(descriptor, [view[:size]], at)
            if target is not None:
                out[target : target + count] = np.frombuffer(view[:count], np.uint8)

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work_on, range(threads)))
    return time.perf_counter() - began


def points(space: Space, draws: int) -> Iterator[Point]:
    """As the paper draws: each by itself."""
    for number in range(draws):
        yield space.point([uniform(0, "draw", number, axis) for axis in range(len(space.names))])


def main() -> None:
    """Print the seconds of every part, and the two ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "mixmerge-bench")
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--method", default="ties")
    parser.add_argument("--drop-rate", type=float, default=0.0)
    parser.add_argument("--mergekit", type=float)
    asked = parser.parse_args()
    before = time.perf_counter()
    merger = Merger(parse_recipe(recipe_text(asked.work, asked.method, asked.drop_rate)), memory=None, threads=None)
    plan = merger.plan
    space = make_space(law_of(plan), tuple(plan.ratios), {})
    live = {
        step.spec.name: LiveTensor(np.empty(step.spec.count, step.spec.dtype.numpy), step.spec.dtype)
        for step in plan.steps
    }
    for tensor in live.values():
        tensor.data.view(np.uint8).fill(1)
    sink, seconds = LiveSink(live), []
    began = time.perf_counter()
    for point in points(space, asked.draws):
        start = time.perf_counter()
        merger.merge(point, sink)
        seconds.append(time.perf_counter() - start)
    whole = time.perf_counter() - began
    merger.close()
    out = np.ones(sum(step.spec.nbytes for step in plan.steps), np.uint8)
    sources = ["a", "b"] if plan.base is None else ["a", "b", "base"]
    passes = [memory_pass(asked.work, sources, out) for _ in range(6)][1:]
    one, floor = statistics.median(seconds[1:]), statistics.median(passes)
    print(f"{asked.method}, drop rate {asked.drop_rate:g}")
    print(f"plan and memory of the model {began - before:.2f} s, first draw {seconds[0]:.2f} s (measuring with it)")
    print(f"a draw {one:.2f} s (median; least {min(seconds):.2f}), a pass at memory speed {floor:.2f} s")
    print(f"a draw takes {one / floor:.2f} such passes")
    print(f"{asked.draws} draws {whole:.1f} s")
    if asked.mergekit:
        peer = asked.draws * asked.mergekit
        print(f"{asked.draws} runs of mergekit {peer:.0f} s: {peer / whole:.0f} times as long")


if __name__ == "__main__":
    main()
