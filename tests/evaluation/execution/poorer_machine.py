"""As a program: runs `HOSTILE` on this machine made poorer, and prints what stood and how each ended, as JSON.

python poorer_machine.py CALL...: system calls that are refused, as older kernels and containers refuse them.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from mixmerge.evaluation.execution import Checks, Limits, Program, run_programs, walls
from mixmerge.evaluation.execution.jail import seccomp, system
from mixmerge.evaluation.problems import TaskError

AMPLE = Limits(seconds=30, processes=8, disk=4 << 20)
ENDLESS = "bomb"  # the others end however busy the machine is


def hostile(place: Path) -> dict[str, Program]:
    """place: a folder and a file that anybody may change."""
    file = str(place / "file")
    return {
        "right": Program("x = 1", Checks("assert x == 1")),
        "writes": Program(f"open({file!r}, 'a').write('x')", Checks("")),
        "deletes": Program(f"import os\nos.unlink({file!r})", Checks("")),
        "connects": Program("import socket\nsocket.socket()", Checks("")),
        "kills": Program(f"import os\nos.kill({os.getpid()}, 0)", Checks("")),
        "bomb": Program("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", Checks("")),
        "deep": Program("import os\nfor _ in range(1200):\n    os.mkdir('d')\n    os.chdir('d')", Checks("")),
        "fills": Program(
            "import time\nfor number in range(9):\n    open(f'{number}', 'wb').write(bytes(1 << 20))\ntime.sleep(600)",
            Checks(""),
        ),
        "daemon": Program(
            "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
            "    if os.fork() == 0: time.sleep(3000)\n    os._exit(0)",
            Checks("pass"),
        ),
    }


def reasons(programs: dict[str, Program], limits: Limits) -> dict[str, str]:
    found = run_programs(list(programs.values()), limits, 2)
    return {name: outcome.reason for name, outcome in zip(programs, found, strict=True)}


def main(calls: list[str]) -> None:
    if calls:
        system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
        seccomp.deny(calls)
    told: dict[str, object] = {"walls": walls().as_json()}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o777)
        (place / "file").write_text("whole", "utf-8")
        (place / "file").chmod(0o666)
        programs = hostile(place)
        endless = {ENDLESS: programs.pop(ENDLESS)}
        try:
            outcomes = reasons(programs, AMPLE) | reasons(endless, replace(AMPLE, seconds=0.5))
        except TaskError as error:
            told["refused"] = str(error)
        else:
            told["outcomes"] = outcomes
        told["whole"] = (place / "file").read_text("utf-8") == "whole"
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1:])
