"""The I/O floor of a merge: read all inputs, write one output of the first one's size, fsync; no arithmetic.

usage: floor.py OUT_FILE MODEL_DIR [MODEL_DIR ...]      prints seconds
"""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BLOCK = 4 << 20


def main(out: str, *folders: str) -> None:
    """Time one pass with one thread a core, blocks of 4 MiB, positioned reads and writes."""
    began = time.perf_counter()
    files = [sorted(Path(folder).glob("*.safetensors")) for folder in folders]
    handles = {path: os.open(path, os.O_RDONLY) for group in files for path in group}
    target = os.open(out, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.posix_fallocate(target, 0, sum(path.stat().st_size for path in files[0]))
    jobs: list[tuple[Path, int, int | None]] = []
    base = 0
    for path in files[0]:
        jobs += [(path, at, base + at) for at in range(0, path.stat().st_size, BLOCK)]
        base += path.stat().st_size
    jobs += [(p, at, None) for group in files[1:] for p in group for at in range(0, p.stat().st_size, BLOCK)]
    local = threading.local()

    def move(job: tuple[Path, int, int | None]) -> None:
        path, offset, place = job
        if not hasattr(local, "buffer"):
            local.buffer = memoryview(bytearray(BLOCK))
        count = os.preadv(handles[path], [local.buffer], offset)
        if place is not None:
            os.pwrite(target, local.buffer[:count], place)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(move, jobs))
    os.fsync(target)
    os.close(target)
    print(f"{time.perf_counter() - began:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
