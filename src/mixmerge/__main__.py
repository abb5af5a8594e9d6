"""The program `mixmerge`, also started as `python -m mixmerge`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    from mixmerge.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
