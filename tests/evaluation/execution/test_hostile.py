"""Programs that try to do harm, or to pass without being right. Each runs for real, behind real walls."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mixmerge.evaluation.execution import Calls, Checks, Limits, Outcome, Program, Scripts, run_programs

pytestmark = pytest.mark.usefixtures("programs")

AMPLE = Limits(seconds=30, memory=256 << 20, processes=16, disk=1 << 20)
TIGHT = replace(AMPLE, seconds=0.3)  # for what would never end: a busy machine is no reason that the rest does not
RIGHT = "def double(x):\n    return 2 * x\n"
WRONG = "def double(x):\n    return x\n"
TESTS = Checks("assert double(2) == 4\nassert double(0) == 0\n", keep=("double",))


def outcome(source: str, tests: Checks | Scripts | Calls = TESTS, limits: Limits = AMPLE) -> Outcome:
    (found,) = run_programs([Program(source, tests)], limits, 1)
    return found


# Passing without being right.

FORGERIES = {
    "leaves": "import sys\nsys.exit(0)\n" + WRONG,
    "leaves hard": "import os\nos._exit(0)\n" + WRONG,
    "leaves in the test": "import os\ndef double(x):\n    os._exit(0)\n",
    "raises SystemExit in the test": "def double(x):\n    raise SystemExit(0)\n",
    "quits": "def double(x):\n    quit()\n",
    "prints the verdict": WRONG + "print('passed')\n",
    "writes to every pipe": WRONG + "import os\nfor n in range(1, 20):\n    try: os.write(n, b'loaded\\npassed ')\n"
    "    except OSError: pass\n",
    "another AssertionError": "import builtins\nclass Quiet(Exception): pass\nbuiltins.AssertionError = Quiet\n"
    + WRONG,
    "another compile and exec": "import builtins\nbuiltins.exec = builtins.compile = lambda *a, **k: None\n" + WRONG,
    "another os": "import os\nos._exit = lambda code: None\nos.write = os.read = lambda *a: b''\n" + WRONG,
    "optimised away": "import sys\nsys.flags = None\n__debug__ is False\n" + WRONG,
    "an exit hook": "import atexit, os\natexit.register(lambda: os._exit(0))\n" + WRONG,
    "an exception hook": "import sys\nsys.excepthook = lambda *a: None\n" + WRONG,
    "a thread that leaves": "import threading, os, time\n"
    "threading.Thread(target=lambda: (time.sleep(0.05), os._exit(0)), daemon=True).start()\n"
    "def double(x):\n    time.sleep(0.3)\n",
    "no definition": "x = 1\n",
    "an open text": RIGHT + '"""\n',
    "not Python": "def double(x) return 2 * x",
    "a null byte": RIGHT + "\0",
    "half a surrogate": RIGHT + "'\ud800'.encode('ascii')\n# \ud800",
    "an endless text of its own error": "class Odd(Exception):\n    def __str__(self): raise Odd\nraise Odd\n",
}


@pytest.mark.parametrize("source", FORGERIES.values(), ids=FORGERIES)
def test_what_is_not_right_does_not_pass(source: str) -> None:
    found = outcome(source)
    assert not found.passed
    assert found.reason == "failed"
    assert found.detail


@pytest.mark.parametrize(
    ("source", "reason", "detail"),
    [
        ("os.kill(os.getpid(), 40)", "crashed", "ended by signal 40"),
        ("os.close(4)\nos.write(3, b'loaded\\n')\nos._exit(0)", "failed", "left with status 0 before its end"),
    ],
    ids=["a signal without a name", "deaf to the supervisor"],
)
def test_an_odd_end_is_told_as_what_it_was(source: str, reason: str, detail: str) -> None:
    assert outcome(f"import os\n{source}") == Outcome(False, reason, detail)  # type: ignore[arg-type]


def test_what_is_right_passes() -> None:
    assert outcome(RIGHT) == Outcome(True, "passed", "")


PATCHES = {
    "all": "import builtins\nbuiltins.all = lambda x: True\n",
    "a global all": "def all(x): return True\n",
    "isclose": "import math\nmath.isclose = lambda *a, **k: True\n",
    "another math": "import sys, types\nsys.modules['math'] = types.SimpleNamespace(isclose=lambda *a, **k: True)\n",
    "another import": "import builtins, types\n"
    "builtins.__import__ = lambda *a: types.SimpleNamespace(isclose=lambda *a, **k: True)\n",
}


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
def test_tests_have_the_built_in_names_and_modules_as_they_were(patch: str) -> None:
    for tests in ("assert all([double(2) == 4])\n", "import math\nassert math.isclose(double(2), 4)\n"):
        assert not outcome(patch + WRONG, Checks(tests)).passed
        assert outcome(patch + RIGHT, Checks(tests)).passed


JUMPS = {
    "a trace": "import sys\ndef jump(frame, event, arg):\n    if event == 'line' and frame.f_lineno == 2:\n"
    "        frame.f_lineno = 3\n    return jump\nsys.settrace(jump)\n",
    "a monitor": "import sys\nif sys.version_info >= (3, 12):\n    watch = sys.monitoring\n"
    "    def jump(code, line):\n        if line == 2 and code.co_filename == 'tests':\n"
    "            sys._getframe(1).f_lineno = 3\n"
    "    watch.use_tool_id(3, 'jump')\n    watch.register_callback(3, watch.events.LINE, jump)\n"
    "    watch.set_events(3, watch.events.LINE)\n",
}


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS)
def test_no_debugger_jumps_over_a_test(jump: str) -> None:
    found = outcome(WRONG + jump, Checks("x = 1\nassert double(2) == 4\ny = 2\n"))
    assert (found.reason, found.detail) == ("failed", "AssertionError")


def test_a_name_under_test_may_hide_a_built_in_name() -> None:
    source = "def sum(a, b):\n    return a * b\n"
    assert outcome(source, Checks("assert sum(2, 3) == 6", keep=("sum",))).passed
    assert not outcome(source, Checks("assert sum(2, 3) == 6")).passed


def test_known_limit_equal_to_everything_passes_as_it_does_elsewhere() -> None:
    source = "class All:\n    def __eq__(self, other): return True\ndef double(x): return All()\n"
    assert outcome(source).passed
    assert not outcome(source, Calls("double", (("2", "4"),))).passed  # what is compared outside is plain data


# Using more than there is.


def test_an_endless_loop_is_stopped_whatever_it_ignores() -> None:
    source = (
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\n"
    )
    source += "while True:\n    try:\n        while True: pass\n    except BaseException: pass\n"
    found = outcome(source, limits=TIGHT)
    assert (found.reason, found.detail) == ("timeout", "not done after 0.3 s of a processor")


def test_sleeping_is_running() -> None:
    assert outcome("import time\ntime.sleep(600)\n", limits=TIGHT).reason == "timeout"


@pytest.mark.parametrize(
    "source",
    ["x = bytearray(1 << 40)\n", "x = []\nwhile True: x.append(bytearray(1 << 24))\n", "x = 'a' * (1 << 34)\n"],
    ids=["at once", "by and by", "text"],
)
def test_a_huge_allocation_fails(source: str) -> None:
    assert outcome(source, limits=replace(AMPLE, memory=128 << 20)).reason == "memory"


def test_many_processes_cannot_share_a_huge_allocation() -> None:
    source = "import os, time\nfor _ in range(3): os.fork()\nx = bytearray(b'1' * (100 << 20))\ntime.sleep(600)\n"
    found = outcome(source, limits=Limits(seconds=30, memory=200 << 20))
    assert found.reason == "memory"


HOARDS = {
    "files without a folder": "import os\nheld = [os.memfd_create('x') for _ in range(9)]\n",
    "shared pages": "import mmap\nheld = mmap.mmap(-1, 1 << 20)\n",
    "shared zeros": "import mmap\nheld = mmap.mmap(os.open('/dev/zero', os.O_RDWR), 1 << 20)\n",
}


@pytest.mark.skipif(sys.platform != "linux", reason="ways of Linux")
@pytest.mark.parametrize("hoard", HOARDS.values(), ids=HOARDS)
def test_memory_that_no_process_is_charged_for_cannot_be_had(hoard: str) -> None:
    assert "Error: [Errno " in outcome("import os\n" + hoard).detail


def test_a_fork_bomb_burns_out() -> None:
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n"
    found = outcome(bomb, limits=TIGHT)
    assert found.reason in ("timeout", "crashed")


def test_a_bomb_of_threads_burns_out() -> None:
    bomb = "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(600,)).start()\n"
    assert outcome(bomb).reason in ("failed", "memory")


def test_threads_that_stay_do_not_hold_up_a_right_program() -> None:
    assert outcome("import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n" + RIGHT).passed


def test_printing_without_end_is_dropped_and_stopped() -> None:
    assert outcome("while True: print('x' * 100000)\n", limits=TIGHT).reason == "timeout"
    assert outcome("print('x' * 10_000_000)\n" + RIGHT).passed  # what checks print is nobody's business
    found = outcome("while True: print('x' * 100000)\n", Scripts((("", "x"),)), Limits(seconds=30))
    assert (found.reason, found.detail[:20]) == ("failed", "case 1: printed more")


def test_deep_recursion_crashes_only_itself() -> None:
    source = (
        "import sys\nsys.setrecursionlimit(10**9)\nclass A:\n    def __repr__(self): return repr([self])\nrepr(A())\n"
    )
    assert outcome(source, limits=Limits(seconds=30)).reason in ("crashed", "failed")  # failed: from Python 3.12
    assert outcome("def f(): return f()\nf()\n").detail.startswith("before its tests: RecursionError")


def test_a_signal_to_itself_is_a_crash() -> None:
    found = outcome("import ctypes\nctypes.string_at(0)\n")
    assert (found.reason, found.detail) == ("crashed", "ended by SIGSEGV")


def test_the_folder_has_a_size() -> None:
    fill = "import os\nfor n in range(100):\n    open(f'{n}', 'wb').write(b'x' * 100_000)\n"
    assert "OSError" in outcome(fill).detail
    assert "OSError" in outcome("open('one', 'wb').write(b'x' * (2 << 20))\n").detail


# Reaching out.


def test_files_outside_are_neither_written_nor_deleted_nor_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("keep", "utf-8")
    tmp_path.chmod(0o777)
    secret.chmod(0o666)
    deeds = [
        f"open({str(secret)!r}, 'w')",
        f"open({str(secret)!r}, 'a')",
        f"open({str(secret)!r})",
        f"os.unlink({str(secret)!r})",
        f"os.rename({str(secret)!r}, 'here')",
        f"os.truncate({str(secret)!r}, 0)",
        f"os.symlink({str(secret)!r}, 'link') or open('link', 'w')",
        f"os.link({str(secret)!r}, 'hard')",
        f"os.chmod({str(secret)!r}, 0)",
        f"shutil.rmtree({str(tmp_path)!r})",
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"os.mkdir({str(tmp_path / 'folder')!r})",
        f"open({__file__!r})",
        "open('/etc/passwd')",
        f"open('/proc/{os.getpid()}/environ')",
        "open('/dev/shm/left', 'w')",
        "os.execv(sys.executable, [sys.executable, '-c', 'pass'])",
        "os.listdir('/')",
    ]
    body = "".join(f"try:\n    {deed}\nexcept OSError:\n    pass\nelse:\n    done.append({deed!r})\n" for deed in deeds)
    found = outcome(f"import os, shutil, sys\ndone = []\n{body}", Checks("assert done == [], done"), Limits(seconds=30))
    assert found == Outcome(True, "passed", "")
    assert secret.read_text("utf-8") == "keep"
    assert secret.stat().st_mode & 0o777 == 0o666
    assert sorted(path.name for path in tmp_path.iterdir()) == ["programs", "secret.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp")
def test_no_program_is_executed_from_wherever_it_comes() -> None:
    source = "import os, sys\nos.execve(os.open(sys.executable, os.O_RDONLY), ['python'], {})\n"
    assert "PermissionError: [Errno 1]" in outcome(source).detail  # 13 would be Landlock, which memory passes by


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces of Linux")
def test_there_is_no_way_into_a_namespace_with_more_rights() -> None:
    numbers = {"x86_64": 56, "aarch64": 220}
    source = (
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"made = libc.syscall({numbers}[os.uname().machine], 0x10000000 | 17, 0, 0, 0, 0)\n"
        "if made == 0: os._exit(0)\nthread = __import__('threading').Thread(target=print)\n"
        "thread.start()\nthread.join()\n"
    )
    assert outcome(source, Checks("assert made == -1 and ctypes.get_errno() == 1, made")).passed


def test_its_own_folder_is_its_own() -> None:
    source = (
        "import os, tempfile\nassert os.getcwd() == os.environ['HOME'] == tempfile.gettempdir()\n"
        "open('a', 'w').write('x')\nos.mkdir('b')\nopen('b/c', 'w').close()\nos.chmod('b', 0)\n"
    )
    assert outcome(source + RIGHT).passed


def test_deleting_its_own_folder_harms_nobody() -> None:
    assert outcome("import os, shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)\n" + RIGHT).passed


def test_there_is_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        call = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 60)\n"
        assert outcome(call, Checks("")).detail.startswith("before its tests: PermissionError")
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.skipif(sys.platform != "linux", reason="abstract and path sockets of Linux")
def test_there_are_no_unix_sockets_but_pairs(tmp_path: Path) -> None:
    place = str(tmp_path / "door")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(place)
        server.listen()
        call = f"import socket\nsocket.socket(socket.AF_UNIX).connect({place!r})\n"
        assert "PermissionError" in outcome(call, Checks("")).detail
    loop = "import asyncio\nasync def two(): return 2\ndef double(x): return x * asyncio.run(two())\n"
    assert outcome(loop, limits=Limits(seconds=30)).passed


def test_other_processes_get_no_signal() -> None:
    source = f"import os, signal\nfor n in ({os.getpid()}, {os.getppid()}, -1):\n"
    source += "    try: os.kill(n, signal.SIGTERM)\n    except OSError: pass\n"
    outcome(source, Checks("pass"))  # still here


def test_nothing_of_the_environment_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    tests = Checks("import os\nassert 'secret' not in str(dict(os.environ)), os.environ")
    assert outcome("", tests).passed


def test_standard_input_is_at_its_end() -> None:
    assert "EOFError" in outcome("input()\n").detail
    assert outcome("import sys\nassert sys.stdin.read() == ''\n" + RIGHT).passed


def test_a_daemon_dies_with_its_program() -> None:
    """Twice forked, in a session of its own, deaf to signals, its pipes closed: the fixture finds nothing left."""
    daemon = (
        "import os, signal, time\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        os.closerange(0, 100)\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n        while True: time.sleep(1)\n    os._exit(0)\n"
    )
    assert outcome(daemon + RIGHT).passed
