"""As a program: tries its walls, says so, then runs programs that sleep and hide, until it is ended from outside.

python endless_programs.py CALL...: system calls that are refused, as in `poorer_machine`.
"""

from __future__ import annotations

import signal
import sys

from mixmerge.evaluation.execution import Checks, Limits, Program, run_programs, walls
from mixmerge.evaluation.execution.jail import seccomp, system

SOURCE = "import os, time\nfor _ in range(2): os.fork()\nif os.fork() == 0: os.setsid()\ntime.sleep(3000)\n"

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born ignoring it
    if sys.argv[1:]:
        system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
        seccomp.deny(sys.argv[1:])
    print(walls().missing, flush=True)
    run_programs([Program(SOURCE, Checks("pass"))] * 4, Limits(seconds=600), 2)
