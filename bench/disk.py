"""What the disk alone takes for a merge's output: as many new bytes, written past the page cache; nothing is read.

usage: disk.py OUT_FILE MODEL_DIR      prints seconds

Three threads with O_DIRECT where there is such a thing, else through the page cache, from huge pages where there are
some; fsync. Of what was tried this is the fastest; a merge starts up before it writes.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

BLOCK = 4 << 20
HUGE_PAGE = 2 << 20
WRITERS = 3


def main(out: str, folder: str) -> None:
    """Time the writing of random bytes, as many as the folder's weights, to a new file."""
    size = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))
    room = np.zeros(BLOCK + HUGE_PAGE, np.uint8)  # NumPy asks for huge pages
    start = -room.__array_interface__["data"][0] % HUGE_PAGE  # O_DIRECT asks for the beginning of a page
    data = room[start : start + BLOCK]
    data[:] = np.frombuffer(os.urandom(BLOCK), np.uint8)
    Path(out).unlink(missing_ok=True)
    os.sync()
    began = time.perf_counter()
    target = os.open(out, os.O_WRONLY | os.O_CREAT | getattr(os, "O_DIRECT", 0))
    os.posix_fallocate(target, 0, size)
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda at: os.pwrite(target, data, at), range(0, size - BLOCK + 1, BLOCK)))
    os.fsync(target)
    os.close(target)
    print(f"{time.perf_counter() - began:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
