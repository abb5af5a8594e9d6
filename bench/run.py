"""Whole-command times of Mixmerge beside the I/O floor, the disk alone and mergekit, as ratios from one run.

usage: run.py [--work DIR] [--repeat 5] [--peer-repeat 1] [--layers 22] [--hidden 2048] [--only NAME ...]

MIXMERGE_MERGEKIT names a `mergekit-yaml` in an environment of its own; without it its rows are left out. Prints a
Markdown table. Times are wall seconds of whole processes: start-up, fsync and fingerprints included; medians after one
discarded run. Peak memory is the process's largest resident set. Both tools run without PYTHONDONTWRITEBYTECODE: where
it is set, sources that are not installed (ours, in a checkout) are compiled anew at every start, a package's are not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SETTLE = 2.0
"""Seconds between two runs that write gigabytes."""

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True)
class Case:
    """One merge, in both tools' words. models: what the floor reads."""

    name: str
    ours: str
    theirs: str | None
    models: tuple[str, ...]


def _recipe(method: str, extra: str, base: bool, weights: str) -> str:
    sources = "".join(f"  - model: {{work}}/{name}\n    parameters: {{{{{weights}}}}}\n" for name in "ab")
    return f"merge_method: {method}\n{'base_model: {work}/base' if base else ''}\nmodels:\n{sources}\n{extra}\n"


MIXUP = "mixup: {{alpha: 0.5, seed: 1}}"
CASES = (
    Case(
        "linear",
        _recipe("linear", MIXUP, False, ""),
        _recipe("linear", "dtype: bfloat16", False, "weight: 0.5"),
        ("a", "b"),
    ),
    Case(
        "task_arithmetic",
        _recipe("task_arithmetic", MIXUP, True, ""),
        _recipe("task_arithmetic", "dtype: bfloat16", True, "weight: 0.5"),
        ("a", "b", "base"),
    ),
    Case(
        "ties (whole model)",
        _recipe("ties", MIXUP, True, ""),
        _recipe("ties", "dtype: bfloat16", True, "weight: 0.5, density: 0.5"),
        ("a", "b", "base"),
    ),
    Case(
        "dare + ties (whole model)",
        _recipe("ties", MIXUP + "\ndare: {{drop_rate: 0.2}}", True, ""),
        _recipe("dare_ties", "dtype: bfloat16", True, "weight: 0.5, density: 0.8"),
        ("a", "b", "base"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """seconds: wall; peak: bytes of resident memory."""

    seconds: float
    peak: int


def timed(command: Sequence[str], log: Path, settle: float = SETTLE) -> Run:
    """Run a command to its end. Its output goes to a log; a failure stops the benchmark with it."""
    os.sync()  # what the run before left to be written is not this one's,
    time.sleep(settle)  # nor is what was removed since, and is given back by a disk that is told of it
    began = time.perf_counter()
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env=ENVIRONMENT)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text(errors='replace')[-3000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(seconds, usage.ru_maxrss * unit)


class Bench:
    """All commands over one set of checkpoints."""

    def __init__(self, work: Path, repeat: int, peer_repeat: int) -> None:
        self.work = work
        self.repeat = repeat
        self.peer_repeat = peer_repeat
        self.out = work / "out"
        self.log = work / "log.txt"
        self.mixmerge = [sys.executable, "-m", "mixmerge"]
        self.mergekit = os.environ.get("MIXMERGE_MERGEKIT")

    def _fresh(self, command: Sequence[str]) -> Run:
        shutil.rmtree(self.out, ignore_errors=True)
        return timed(command, self.log)

    def ours(self, case: Case) -> list[str]:
        """Our command for a case."""
        path = self.work / "ours.yaml"
        path.write_text(case.ours.format(work=self.work))
        return [*self.mixmerge, "merge", str(path), str(self.out)]

    def theirs(self, case: Case) -> list[str]:
        """mergekit's command for a case."""
        path = self.work / "theirs.yaml"
        path.write_text((case.theirs or "").format(work=self.work))
        return [str(self.mergekit), str(path), str(self.out), "--lazy-unpickle", "--no-copy-tokenizer"]

    def floor(self, case: Case) -> list[str]:
        """The floor's command for a case."""
        target = self.work / "floor.bin"
        return [sys.executable, str(HERE / "floor.py"), str(target), *(str(self.work / name) for name in case.models)]

    def disk(self, case: Case) -> list[str]:
        """The command that writes as many bytes as a case does."""
        target = self.work / "disk.bin"
        return [sys.executable, str(HERE / "disk.py"), str(target), str(self.work / case.models[0])]

    def _seconds(self, command: Sequence[str]) -> float:
        """What it prints."""
        timed(command, self.log)
        return float(self.log.read_text())

    def measure(self, case: Case) -> dict[str, object]:
        """Floor, disk and ours in turn, so that all meet the same machine; mergekit in between, less often: it takes
        minutes, and once it has run, its files are read."""
        floors, disks, runs, peers = [], [], [], []
        for turn in range(self.repeat + 1):
            floors.append(self._seconds(self.floor(case)))
            disks.append(self._seconds(self.disk(case)))
            (self.work / "disk.bin").unlink()
            runs.append(self._fresh(self.ours(case)))
            if self.mergekit and case.theirs and turn < self.peer_repeat:
                peers.append(self._fresh(self.theirs(case)))
        plan = subprocess.run(
            [*self.mixmerge, "plan", str(self.work / "ours.yaml"), "--json"],
            capture_output=True,
            check=True,
            env=ENVIRONMENT,
        )
        return {
            "name": case.name,
            "floor": statistics.median(floors[1:]),
            "disk": statistics.median(disks[1:]),
            "ours": statistics.median(run.seconds for run in runs[1:]),
            "least": min(run.seconds for run in runs[1:]),
            "peak": max(run.peak for run in runs),
            "projected": json.loads(plan.stdout)["plan"]["memory"]["projected"],
            "theirs": statistics.median(run.seconds for run in peers) if peers else None,
            "their_least": min(run.seconds for run in peers) if peers else None,
            "their_peak": max(run.peak for run in peers) if peers else None,
        }

    def starts(self) -> list[str]:
        """Seconds until help is printed, a recipe is planned, and a tiny model of the zoo is merged: start-up is all of
        the first two, and nearly all of the third, which loads the compiled loops."""
        zoo = HERE.parent / "src" / "mixmerge" / "zoo"
        models = ["--method", "linear", str(zoo / "adder"), str(zoo / "sorter"), "--ratio", "0.5"]
        merge = ["merge", *models, "-o", str(self.out), "--overwrite", "-q"]
        found = []
        for words in (["--help"], ["plan", *models], merge):
            times = [timed([*self.mixmerge, *words], self.log, 0).seconds for _ in range(10)][1:]
            found.append(f"`mixmerge {words[0]}` {statistics.median(times):.2f} s ({min(times):.2f})")
        return found


def table(rows: Sequence[dict[str, object]]) -> str:
    """Markdown of the results."""
    head = (
        "| merge | floor | writing alone | mixmerge | peak RSS (projected) | mergekit | its peak RSS | times faster |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        ours, theirs = float(str(row["ours"])), row["theirs"]
        peer = ("-", "-", "-")
        if theirs is not None:
            peer = (
                f"{theirs:.1f} s (best {row['their_least']:.1f})",
                f"{int(str(row['their_peak'])) / 1e9:.1f} GB",
                f"{float(str(theirs)) / ours:.0f}",
            )
        memory = f"{int(str(row['peak'])) / 1e6:.0f} MB ({int(str(row['projected'])) / 1e6:.0f})"
        lines.append(
            f"| {row['name']} | {row['floor']:.2f} s | {row['disk']:.2f} s | "
            f"{ours:.2f} s (best {row['least']:.2f}) | {memory} | {peer[0]} | {peer[1]} | {peer[2]} |"
        )
    return "\n".join(lines)


def machine() -> str:
    """What the figures were measured on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        name = models[0] if models else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def main() -> None:
    """Make the checkpoints where they are missing, run every case, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "mixmerge-bench")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--peer-repeat", type=int, default=1)
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--hidden", type=int, default=2048)
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "b" / "config.json").exists():
        size = ["--layers", str(options.layers), "--hidden", str(options.hidden)]
        subprocess.run([sys.executable, str(HERE / "checkpoints.py"), str(work), *size], check=True)
    bench = Bench(work, options.repeat, options.peer_repeat)
    rows = []
    for case in CASES:
        if not options.only or case.name.split()[0] in options.only:
            rows.append(bench.measure(case))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(f"{machine()}; medians of {options.repeat} runs, one discarded\n\n{table(rows)}")
    print("\nStart-up, medians (least) of 9: " + ", ".join(bench.starts()))


if __name__ == "__main__":
    main()
