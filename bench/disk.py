"""What the disk alone takes for a merge's output: as many new bytes, written past the page cache; nothing is read.

usage: disk.py OUT_FILE MODEL_DIR      prints seconds

Eight threads with O_DIRECT where there is such a thing, else through the page cache; fsync. A merge that starts up in s
seconds cannot take less than this and s, however it computes.
"""

from __future__ import annotations

import mmap
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BLOCK = 8 << 20
WRITERS = 8


def main(out: str, folder: str) -> None:
    """Time the writing of random bytes, as many as the folder's weights, to a new file."""
    size = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))
    data = mmap.mmap(-1, BLOCK)  # at the beginning of a page, as O_DIRECT asks
    data.write(os.urandom(BLOCK))
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
